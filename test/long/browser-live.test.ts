// The live page of --admin in a real browser: what happens is on it within a second or so, and it tells when it is not.

import type { Page } from "playwright-core";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { expectAccessible } from "../kit/axe.ts";
import { browserForFile, IN_CHROMIUM, noChromium } from "../kit/browser.ts";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { ask, launch, ownRuntime } from "../kit/ops.ts";
import { resetWithinFrame } from "../kit/tunnel.ts";
import { until } from "../kit/until.ts";
import { deadPort, httpUpstream, muxUpstream, type HttpUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 60_000 });

/** A report each second, and what a loaded machine adds. */
const SOON = 2500;

const answer = (_req: unknown, res: { end(text: string): void }): void => res.end("ok");

/** Stops an upstream as a kill would. */
async function kill({ server }: HttpUpstream): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}

async function tunnelTo(port: number, path = "/mux"): Promise<RawClient> {
  const tunnel = await dial(port);
  tunnel.send(upgrade(path));
  await tunnel.readUntil("101 Switching", 5000);
  return tunnel;
}

describe.skipIf(noChromium)(IN_CHROMIUM, () => {
  const browser = browserForFile();

  /** A page that has seen a report; `faults` are errors of its script, and whatever it loads from elsewhere. */
  async function open(admin: number): Promise<{ page: Page; faults: string[] }> {
    const page = await browser.newPage();
    const faults: string[] = [];
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (line) => {
      if (line.type() === "error" && !line.text().startsWith("Failed to load resource")) faults.push(line.text());
    });
    page.on("request", (asked) => {
      if (!asked.url().startsWith(`http://127.0.0.1:${admin}/`) && !asked.url().startsWith("data:"))
        faults.push(asked.url());
    });
    await page.goto(`http://127.0.0.1:${admin}/`);
    await says(page, "#overall", /up|Not ready/, 8000);
    return { page, faults };
  }

  async function says(page: Page, where: string, what: RegExp, ms = SOON): Promise<void> {
    let text: string | null = "";
    const there = async (): Promise<boolean> => what.test((text = await page.textContent(where)) ?? "");
    await until(there, `${String(what)} in ${where}`, ms).catch((error: Error) => {
      throw new Error(`${error.message}; it says ${JSON.stringify(text)}`);
    });
  }

  /** A proxy with everything up. */
  async function serving(): Promise<{ daemon: TestDaemon; web: HttpUpstream; admin: number }> {
    const web = await httpUpstream(answer);
    const mux = await muxUpstream();
    const admin = await deadPort();
    const args = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--admin", String(admin)];
    const daemon = await startDaemon([...args, "--probe-interval", "300ms", "--hold", "1s"], ownRuntime());
    await until(async () => (await ask(admin, "/ready")).status === 200, "ready", 8000);
    return { daemon, web, admin };
  }

  test("an upstream is killed and comes back under load, a tunnel is reset: each is on the page within a second or so", async () => {
    const { daemon, web, admin } = await serving();
    const { page, faults } = await open(admin);
    await says(page, "#overall", /^Everything is up$/);
    expect(await page.title()).toBe(`● up · single-port 127.0.0.1:${daemon.port}`);
    await says(page, "#no-tunnels", /No tunnel is open/);

    const load = await dial(daemon.port);
    let sent = 0;
    const timer = setInterval(() => load.send(head(`GET /${(sent += 1)} HTTP/1.1`, "Host: a")), 20);
    onTestFinished(() => clearInterval(timer));
    const tunnel = await tunnelTo(daemon.port);
    await tunnelTo(daemon.port);
    await says(page, "#chart-requests .value", /^[1-9]\d*$/);
    await says(page, "#chart-tunnels .value", /^2$/);
    expect(await page.locator("#tunnels tbody tr").count()).toBe(2);
    await says(page, "#tunnels tbody", /mux \/mux/);

    await resetWithinFrame(daemon, tunnel);
    await says(page, "#tunnel-count", /^1$/);
    expect(await page.textContent("#endings tr:nth-child(1) td:nth-of-type(3)")).toBe("1");
    await says(
      page,
      "#badly tbody tr:first-child",
      /GET \/muxmux101the client reset the connection after .*127\.0\.0\.1/,
    );

    await kill(web);
    await says(page, "#overall", /^Not ready: upstream http .* nothing listens there \(ECONNREFUSED\)/);
    expect(await page.getAttribute("#links article:first-child", "class")).toMatch(/suspect|reconnecting/);
    await says(page, "#links article:first-child .pill", /reconnecting/, SOON + 1000);
    expect(await page.title()).toMatch(/^✕ not ready/);
    await says(page, "#chart-failed .value", /^[1-9]/, SOON + 1000);

    await httpUpstream(answer, web.port);
    await says(page, "#overall", /^Everything is up$/, SOON + 2000);
    await says(page, "#links article:first-child .pill", /● up/);
    await says(page, "#links article:first-child summary", /^History: 4 changes$/);
    expect(faults).toEqual([]);
  });

  test("when the proxy is gone the page says so, and goes on when it is back", async () => {
    const web = await httpUpstream(answer);
    const [port, admin] = [await deadPort(), await deadPort()];
    const args = ["--http", String(web.port), "--admin", String(admin)];
    const env = ownRuntime();
    const { child, exited } = await launch(port, args, "ignore", env);
    const { page, faults } = await open(admin);
    await says(page, "#facts", new RegExp(`pid ${child.pid} `));
    child.kill("SIGKILL");
    await exited;
    await says(page, "#overall", /^The connection to this proxy is lost: .*Lost \d+ m?s ago\.$/);
    expect(await page.title()).toMatch(/^✕ lost/);
    // Nothing of its last state is shown as if it were so still.
    for (const where of [
      "#chart-requests .value",
      "#links .pill",
      "#links dd:first-of-type",
      "#sums",
      "#process",
      "#no-flight",
      "#no-tunnels",
      "#tunnel-count",
      "#endings td",
      "#facts",
    ]) {
      expect((await page.locator(where).first().textContent())?.toLowerCase(), where).toContain("unknown");
    }
    expect(await page.textContent("#links")).not.toContain("● up");
    const next = await launch(port, args, "ignore", env);
    await says(page, "#overall", /^Everything is up$/, 8000);
    await says(page, "#facts", new RegExp(`pid ${next.child.pid} `));
    // Frozen, it closes nothing: its silence tells.
    next.child.kill("SIGSTOP");
    await says(page, "#overall", /^The connection to this proxy is lost/, 6000);
    next.child.kill("SIGCONT");
    await says(page, "#overall", /^Everything is up$/, 6000);
    expect(faults).toEqual([]);
  });

  test("a proxy that comes back with other upstreams: those, and no others, are on the page", async () => {
    const web = await httpUpstream(answer);
    const mux = await muxUpstream();
    const [port, admin, away] = [await deadPort(), await deadPort(), await deadPort()];
    const env = ownRuntime();
    const both = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--admin", String(admin)];
    const { child, exited } = await launch(port, both, "ignore", env);
    const { page, faults } = await open(admin);
    await says(page, "#links", new RegExp(`http● up127\\.0\\.0\\.1:${web.port}.*mux● up127\\.0\\.0\\.1:${mux.port}`));
    child.kill("SIGKILL");
    await exited;
    await launch(port, ["--http", String(away), "--admin", String(admin)], "ignore", env);
    await says(page, "#links", new RegExp(`^http◌ not reached yet127\\.0\\.0\\.1:${away}(?!.*mux)`), 8000);
    expect(faults).toEqual([]);
  });

  test("who opens it later sees the past in the charts", async () => {
    const { daemon, admin } = await serving();
    for (let i = 0; i < 5; i += 1) expect((await ask(daemon.port, "/")).body).toBe("ok");
    await until(
      async () => /"lastSecond":\{"at":"[^"]*","requests":[1-9]/.test((await ask(admin, "/status")).body),
      "a second with requests",
    );
    const { page } = await open(admin);
    const points = ((await page.getAttribute("#chart-requests .curve", "points")) ?? "").split(" ");
    expect(points.some((point) => point.endsWith(",4.0"))).toBe(true);
    await says(page, "#chart-requests .read", /^at most [1-5] in \d+ s$/);
  });

  test("it can be used with the keyboard, and paused", async () => {
    const { daemon, admin } = await serving();
    const { page } = await open(admin);
    await tunnelTo(daemon.port);
    await says(page, "#tunnel-count", /^1$/);
    const focused = (): Promise<string> =>
      page.evaluate("(document.activeElement.id || document.activeElement.textContent)");
    await page.keyboard.press("Tab");
    expect(await focused()).toBe("pause");
    await page.keyboard.press("Tab");
    expect(await focused()).toBe("chart-requests");
    await page.keyboard.press("ArrowLeft");
    await says(page, "#chart-requests .read", /^\d?\d:\d\d:\d\d( [AP]M)?: \d+$/);
    expect(await page.getAttribute("#chart-requests", "aria-label")).toMatch(
      /^Requests a second: \d+, \d?\d:\d\d:\d\d( [AP]M)?: \d+$/,
    );
    await page.keyboard.press("Escape");
    await says(page, "#chart-requests .read", /^at most/);
    await page.focus("#tunnels th:nth-child(5) button");
    await page.keyboard.press("Enter");
    expect(await page.getAttribute("#tunnels th:nth-child(5)", "aria-sort")).toBe("ascending");
    await page.keyboard.press("Enter");
    expect(await page.getAttribute("#tunnels th:nth-child(5)", "aria-sort")).toBe("descending");

    await page.focus("#pause");
    await page.keyboard.press("Enter");
    expect(await page.getAttribute("#pause", "aria-pressed")).toBe("true");
    const stood = await page.textContent("#facts");
    await tunnelTo(daemon.port);
    await until(async () => /"tunnels":2/.test((await ask(admin, "/status")).body), "two tunnels");
    // A report later it still shows what it showed.
    await page.evaluate(
      "new Promise((done) => source.addEventListener('message', () => setTimeout(done), { once: true }))",
    );
    expect(await page.textContent("#facts")).toBe(stood);
    expect(await page.textContent("#tunnel-count")).toBe("1");
    await page.keyboard.press("Enter");
    await says(page, "#tunnel-count", /^2$/);
  });

  test("what a peer sends is text on it, and nothing on it runs but its own script", async () => {
    const { daemon, admin } = await serving();
    const { page, faults } = await open(admin);
    const tunnel = await tunnelTo(daemon.port);
    tunnel.reset();
    const client = await dial(daemon.port);
    client.send(head("GET /<img/src=x/onerror=document.title='owned'> HTTP/1.1", "Host: a", "Host: b"));
    await client.readUntil("bad_request");
    await says(page, "#badly tbody", /<img\/src=x\/onerror=document\.title='owned'>/);
    expect(await page.locator("#badly img").count()).toBe(0);
    await page.evaluate(
      "document.body.insertAdjacentHTML('beforeend', '<b onclick=\"document.title=1\" id=inject>x</b>')",
    );
    await page.click("#inject");
    expect(await page.title()).toMatch(/^● up/);
    expect(faults.join()).toMatch(/Content Security Policy/);
  });

  test("what is in flight and held is there, the oldest first, with its client; what it takes is, too", async () => {
    const web = await httpUpstream((req, res) => void (req.url?.startsWith("/slow") || res.end("ok")));
    const [admin, dead] = [await deadPort(), await deadPort()];
    const targets = ["--http", String(web.port), "--mux", `/away=${dead}/x`, "--admin", String(admin)];
    const daemon = await startDaemon(targets, ownRuntime());
    const { page, faults } = await open(admin);
    expect(await page.textContent("#no-flight")).toBe("Nothing is being served.");
    expect((await ask(daemon.port, "/")).body).toBe("ok");
    const slow = await dial(daemon.port);
    slow.send(head("GET /slow?token=1 HTTP/1.1", "Host: a", "X-Forwarded-For: 203.0.113.9, 198.51.100.7"));
    await says(page, "#flight tbody tr:first-child", /GET \/slowhttpwaiting1198\.51\.100\.7/);
    const held = await dial(daemon.port);
    held.send(upgrade("/away"));
    await says(page, "#flight tbody tr:nth-child(2)", /GET \/awaymuxheld\d+127\.0\.0\.1/);
    expect(await page.textContent("#flight-count")).toBe("2");
    await says(page, "#links article:first-child", /p50, p95, p99[\d.]+ ms, [\d.]+ m?s, [\d.]+ m?s/);
    await says(
      page,
      "#process",
      /^This process: processor [\d.]+ % of one core · memory [\d.]+ MB .* \d+ of [\d,]+ descriptors\.$/,
    );
    expect(await page.locator("#routes tbody tr").allTextContents()).toEqual([
      `/awaymux127.0.0.1:${dead}/x`,
      `everything elsehttp127.0.0.1:${web.port}`,
    ]);
    await page.click(".legend summary");
    expect(await page.isVisible(".legend dt:has-text('reconnecting')")).toBe(true);
    expect(faults).toEqual([]);
  });

  test("tunnels and bad endings can be filtered, tunnels sorted, and the log's command copied", async () => {
    const { daemon, admin } = await serving();
    for (let i = 0; i < 3; i += 1) await tunnelTo(daemon.port);
    const other = await tunnelTo(daemon.port, "/ao-terminal-mux");
    for (const path of ["/a", "/b"]) {
      const client = await dial(daemon.port);
      client.send(head(`GET ${path} HTTP/1.1`, "Host: a", "Host: b"));
      await client.readUntil("bad_request");
    }
    const { page, faults } = await open(admin);
    await says(page, "#tunnel-count", /^4$/);
    await page.fill("#tunnel-filter", "ao-terminal");
    await says(page, "#tunnel-count", /^1 of 4$/);
    expect(await page.locator("#tunnels tbody tr").allTextContents()).toEqual([
      expect.stringContaining("/ao-terminal-mux"),
    ]);
    await page.fill("#tunnel-filter", "nowhere");
    await says(page, "#no-tunnels", /None of them matches/);
    await page.fill("#tunnel-filter", "");
    await page.selectOption("#tunnel-sort", "age", { force: true });

    // What ended badly before the page was opened is on it.
    await says(page, "#badly-count", /^2$/);
    await page.fill("#badly-filter", "get /b");
    await says(page, "#badly-count", /^1 of 2$/);
    const row = page.locator("#badly tbody tr");
    expect(await row.count()).toBe(1);
    const id = (await until(() => daemon.log.find((line) => line["path"] === "/b"), "its line"))["id"];
    await browser.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await row.getByRole("button").click();
    await says(page, "#copied", new RegExp(`^Copied: .*grep ${String(id)}`));
    expect(await page.evaluate("navigator.clipboard.readText()")).toContain(`grep ${String(id)}`);
    other.reset();
    expect(faults).toEqual([]);
  });

  test("a filter finds tunnels that are not in the stream of the latest", async () => {
    const { daemon, admin } = await serving();
    await tunnelTo(daemon.port, "/ao-terminal-mux");
    for (let i = 0; i < 210; i += 1) await tunnelTo(daemon.port);
    const { page } = await open(admin);
    await says(page, "#tunnel-count", /^100 of 211$/);
    await page.fill("#tunnel-filter", "ao-terminal");
    await says(page, "#tunnel-count", /^1 of 211$/);
  });

  test.each(["light", "dark"] as const)("it fits a phone and a desktop, and is readable, %s", async (colorScheme) => {
    const { daemon, admin } = await serving();
    await tunnelTo(daemon.port);
    const broken = await dial(daemon.port);
    broken.send(head("GET /bad HTTP/1.1", "Host: a", "Host: b"));
    await broken.readUntil("bad_request");
    const { page } = await open(admin);
    await page.emulateMedia({ colorScheme });
    await says(page, "#tunnel-count", /^1$/);
    for (const width of [320, 390, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      expect(await page.evaluate("document.documentElement.scrollWidth"), `${width} wide`).toBeLessThanOrEqual(width);
    }
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      await expectAccessible(page, `${colorScheme}, ${width} wide`);
    }
    await page.setViewportSize({ width: 390, height: 844 });
    const cut = await page.evaluate<
      string[]
    >(`[...document.querySelectorAll("td, dd, .value, h2, .pill")].filter((one) =>
      one.getClientRects().length > 0 && !one.closest(".sr") && one.getBoundingClientRect().right > innerWidth).map((one) => one.textContent)`);
    expect(cut, "cut off on a phone").toEqual([]);
    const tiles = await page
      .locator(".tile")
      .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().height));
    expect(new Set(tiles).size, "tiles of one height").toBe(1);
    await daemon.stop();
    await says(page, "#overall", /is lost/, 6000);
    await expectAccessible(page, `${colorScheme}, the proxy gone`);
  });
});
