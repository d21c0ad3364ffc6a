// The page a person sees while the dashboard is away, in a real browser.

import type { Page } from "playwright-core";
import type { Attempt } from "../../src/core/outcome.ts";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { expectAccessible } from "../kit/axe.ts";
import { browserForFile, IN_CHROMIUM, noChromium } from "../kit/browser.ts";
import { childServer } from "../kit/child.ts";
import { startDaemon } from "../kit/daemon.ts";
import { until } from "../kit/until.ts";
import { deadPort, httpUpstream, rawUpstream } from "../kit/upstream.ts";

// It asks every second or two by itself, and that is what is waited for.
vi.setConfig({ testTimeout: 60_000 });

describe.skipIf(noChromium)(IN_CHROMIUM, () => {
  const browser = browserForFile();

  /** A page, and what went on in it. */
  async function newPage(): Promise<{ page: Page; errors: string[]; asked: string[] }> {
    const page = await browser.newPage();
    const errors: string[] = [];
    const asked: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("request", (request) => asked.push(request.url()));
    return { page, errors, asked };
  }

  const headline = (page: Page): Promise<string | null> => page.textContent("h1");
  const says = (page: Page, text: string): Promise<boolean> =>
    until(async () => (await page.getByRole("status").textContent())?.includes(text), `"${text}"`, 10_000);

  test("it appears when the hold is over, and turns into the dashboard by itself", async () => {
    const web = await childServer();
    const daemon = await startDaemon(["--http", String(web.port), "--hold", "300ms"]);
    const { page, errors, asked } = await newPage();
    const url = `http://127.0.0.1:${daemon.port}/sessions/7?tab=2`;
    await page.goto(url);
    expect(await headline(page)).toBe("The dashboard");

    await web.kill();
    const answer = await page.reload();
    expect(answer?.status()).toBe(503);
    expect(await headline(page)).toBe("The dashboard is not running");
    expect(await page.title()).toBe("The dashboard is not running");
    await says(page, "Waiting for it to come back");
    const since = (await page.locator("time").textContent()) ?? "";
    const iso = (await page.locator("time").getAttribute("datetime")) ?? "";
    expect(since, "a time of day as its reader writes it").toBe(
      await page.evaluate((date) => new Date(date).toLocaleTimeString(), iso),
    );
    await until(async () => /^\d+ s$/.test((await page.textContent("#away")) ?? ""), "how long");
    expect(await page.locator("dl").textContent()).toContain("web server");

    // While it waits nothing is loaded anew, and nothing changes but what counts up: no screen reader is interrupted.
    const loadedAt = await page.evaluate(() => performance.timeOrigin);
    await page.evaluate(`changes = []; new MutationObserver((seen) => changes.push(...seen.map(({ target }) => target.id)))
      .observe(document, { subtree: true, childList: true, characterData: true, attributes: true })`);
    const before = asked.length;
    await until(() => asked.length >= before + 2, "it to ask twice", 8000);
    expect(await page.evaluate(() => performance.timeOrigin)).toBe(loadedAt);
    expect(await page.evaluate("[...new Set(changes)].sort()")).toEqual(["away", "tried"]);

    await web.start();
    await until(async () => (await headline(page).catch(() => "")) === "The dashboard", "the dashboard", 8000);
    expect(page.url()).toBe(url);
    expect([...new Set(asked)], "needs nothing from anywhere else").toEqual([url]);
    expect(errors).toEqual([]);
  });

  test("later in an outage it is there at once; its tab tells when the dashboard is back", async () => {
    const web = await childServer();
    await web.kill();
    const daemon = await startDaemon(["--http", String(web.port), "--hold", "1s", "--probe-interval", "200ms"]);
    const { page, errors } = await newPage();
    await page.goto(`http://127.0.0.1:${daemon.port}/held`);
    await page.goto(`http://127.0.0.1:${daemon.port}/`);
    const dials = async (path: string): Promise<number> => {
      const { attempts } = await daemon.logged((line) => line["path"] === path && line["method"] === "GET", path);
      return (attempts as Attempt[]).reduce((sum, { times }) => sum + times, 0);
    };
    expect(await dials("/held")).toBeGreaterThan(2);
    expect(await dials("/")).toBeLessThan(2);
    expect(await page.textContent("#away")).toMatch(/^[1-9]\d* s$/);
    const waiting = await page.getAttribute("#icon", "href");
    // What it looks like in the moment before the dashboard is opened.
    await page.exposeFunction("tell", (title: string, icon: string) => told.push([title, icon]));
    const told: [string, string][] = [];
    await page.evaluate(`new MutationObserver(() => tell(document.title, document.getElementById("icon").href))
      .observe(document.head, { subtree: true, childList: true, characterData: true, attributes: true })`);
    await web.start();
    await until(async () => (await headline(page).catch(() => "")) === "The dashboard", "the dashboard", 10_000);
    expect(told.at(-1)?.[0]).toBe("It is back");
    expect(told.at(-1)?.[1]).not.toBe(waiting);
    expect(errors).toEqual([]);
  });

  test("Try now asks at once, and says that it does", async () => {
    const port = await deadPort();
    const daemon = await startDaemon(["--http", String(port), "--hold", "0", "--probe-interval", "0"]);
    const { page, asked } = await newPage();
    await page.goto(`http://127.0.0.1:${daemon.port}/`);
    // Nothing but the button asks from now on.
    await page.evaluate("for (let i = 0; i < 1000; i += 1) clearTimeout(i)");
    const before = asked.length;
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    await page.route("**/*", async (route) => {
      await gate;
      await route.continue();
    });
    await page.getByRole("button", { name: "Try now" }).click();
    await says(page, "Trying now…");
    expect(await page.textContent("#tried")).toBe("now");
    go();
    await says(page, "Waiting for it to come back…");
    await until(async () => (await page.textContent("#tried")) === "just now", "when it was");
    expect(asked.slice(before)).toHaveLength(1);
    await httpUpstream((_req, res) => res.end("<h1>back</h1>"), port);
    await page.getByRole("button", { name: "Try now" }).click();
    await until(async () => (await page.textContent("body").catch(() => "")) === "back", "it to open");
  });

  test("it says so when the proxy itself is gone, and goes on trying", async () => {
    const web = await childServer();
    await web.kill();
    const first = await startDaemon(["--http", String(web.port), "--hold", "0"]);
    const { page } = await newPage();
    await page.goto(`http://127.0.0.1:${first.port}/`);
    await first.stop();
    await says(page, "The connection to this server is lost");
    await web.start();
    await startDaemon(["--http", String(web.port), "--port", String(first.port)]);
    await until(async () => (await headline(page).catch(() => "")) === "The dashboard", "the dashboard", 10_000);
  });

  test("what a front says in place of a 502 is not the dashboard", async () => {
    const daemon = await startDaemon(["--http", String(await deadPort()), "--hold", "0"]);
    const { page } = await newPage();
    await page.goto(`http://127.0.0.1:${daemon.port}/`);
    const statuses = [502, 522];
    let asked = 0;
    // Cloudflare's page, without our field.
    await page.route("**/*", async (route) => {
      if (route.request().method() !== "HEAD") return await route.abort();
      await route.fulfill({ status: statuses[asked++ % statuses.length] ?? 502 });
    });
    await until(() => asked > statuses.length, "it to ask for both", 10_000);
    expect(await headline(page)).toBe("The dashboard is not running");
    await says(page, "Waiting for it to come back");
  });

  test.each([
    ["that did not arrive", "unavailable", "was not delivered"],
    ["that may have arrived", "resets", "not known whether"],
  ])("after a form %s it says so, and sends nothing again", async (_what, kind, words) => {
    const upstream = await rawUpstream((peer) => peer.socket.once("data", () => peer.reset()));
    const port = kind === "resets" ? upstream.port : await deadPort();
    const daemon = await startDaemon(["--http", String(port), "--hold", "0", "--probe-interval", "0"]);
    const { page, asked } = await newPage();
    await page.setContent(`<form method=post action="http://127.0.0.1:${daemon.port}/x"><button>Send</button></form>`);
    await page.getByRole("button").click();
    await until(async () => (await page.locator(".state").textContent())?.includes(words), words, 5000);
    expect(await page.content()).not.toContain("as soon as it is back");
    expect(await page.getByRole("status").count()).toBe(0);
    expect(asked).toHaveLength(1);
  });

  test.each(["light", "dark"] as const)("it follows %s mode, and fits a phone and a desktop", async (colorScheme) => {
    const daemon = await startDaemon(["--http", String(await deadPort()), "--hold", "0"]);
    const { page } = await newPage();
    await page.emulateMedia({ colorScheme });
    for (const size of [
      { width: 320, height: 568 },
      { width: 1280, height: 720 },
    ]) {
      await page.setViewportSize(size);
      await page.goto(`http://127.0.0.1:${daemon.port}/`);
      const background = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
      const [red = 0, green = 0, blue = 0] = (background.match(/\d+/g) ?? []).map(Number);
      const lightness = (red + green + blue) / 3;
      const wide = await page.evaluate<number>("document.documentElement.scrollWidth");
      expect(wide, "no scrolling sideways").toBeLessThanOrEqual(size.width);
      if (colorScheme === "dark") expect(lightness).toBeLessThan(60);
      else expect(lightness).toBeGreaterThan(200);
      await expectAccessible(page, `${colorScheme}, ${size.width} wide`);
    }
  });

  test("without scripts it is loaded anew", async () => {
    const port = await deadPort();
    const daemon = await startDaemon(["--http", String(port), "--hold", "0"]);
    const plain = await browser.context().browser()?.newContext({ javaScriptEnabled: false });
    const page = plain ? await plain.newPage() : await browser.newPage();
    onTestFinished(async () => await (plain ? plain.close() : page.close()));
    await page.goto(`http://127.0.0.1:${daemon.port}/`);
    await httpUpstream((_req, res) => res.end("back"), port);
    await until(async () => (await page.textContent("body").catch(() => "")) === "back", "the page", 12_000);
  });
});
