// DNS rebinding in a real browser: a page whose own name points to this machine. By a name that nobody vouches for it
// opens no terminal and reads nothing of the admin address; behind a front the same name is the dashboard's.

import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserForFile, IN_CHROMIUM, noChromium } from "../kit/browser.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { DASH, FRONTS, noFront } from "../kit/fronts.ts";
import { httpUpstream, muxUpstream, type MuxUpstream } from "../kit/upstream.ts";

const EVIL = "evil.example";

/** Opens a terminal as the page would: "open", or how it failed. */
async function openTerminal(page: Page): Promise<string> {
  return await page.evaluate(
    (url) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(url);
        socket.addEventListener("open", () => resolve("open"));
        socket.addEventListener("close", ({ code }) => resolve(`closed with ${code}`));
      }),
    `ws://${new URL(page.url()).host}/mux`,
  );
}

async function serving(...args: string[]): Promise<{ daemon: TestDaemon; mux: MuxUpstream }> {
  const web = await httpUpstream((_req, res) => {
    res.setHeader("Content-Type", "text/html");
    res.end("<!doctype html><title>dashboard</title>");
  });
  const mux = await muxUpstream();
  return { daemon: await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`, ...args]), mux };
}

describe.skipIf(noChromium)(IN_CHROMIUM, () => {
  const rules = [`MAP ${EVIL} 127.0.0.1`, `MAP ${DASH} 127.0.0.1`].join(",");
  const browser = browserForFile({ flags: [`--host-resolver-rules=${rules}`] });

  test("a foreign name that points here opens no terminal, and localhost does", async () => {
    const { daemon, mux } = await serving();
    const page = await browser.newPage();
    await page.goto(`http://${EVIL}:${daemon.port}/`);
    expect(await page.title()).toBe("dashboard");
    expect(await openTerminal(page)).toBe("closed with 1006");
    const line = await daemon.logged(({ error }) => error !== undefined, "the refusal");
    const why = { seen: `host ${EVIL}:${daemon.port}`, option: `--allow-host ${EVIL}` };
    expect(line).toMatchObject({ status: 403, error: "host_not_allowed", why });
    expect(mux.clients).toHaveLength(0);
    for (const name of ["localhost", "127.0.0.1"]) {
      await page.goto(`http://${name}:${daemon.port}/`);
      expect(await openTerminal(page), name).toBe("open");
    }
  });

  test("--allow-host admits it", async () => {
    const { daemon } = await serving("--allow-host", EVIL);
    const page = await browser.newPage();
    await page.goto(`http://${EVIL}:${daemon.port}/`);
    expect(await openTerminal(page)).toBe("open");
  });

  test("the admin address shows it nothing, and its script cannot vouch for itself", async () => {
    const { daemon } = await serving("--admin", "0");
    const { msg } = await daemon.logged((line) => line.msg.startsWith("admin on "), "admin address");
    const port = msg.slice(msg.lastIndexOf(":") + 1);
    const page = await browser.newPage();
    const answer = await page.goto(`http://${EVIL}:${port}/status`);
    expect([answer?.status(), await answer?.text()]).toEqual([403, expect.stringContaining(`--allow-host ${EVIL}`)]);
    const forged = await page.evaluate(async () => {
      const headers = { "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "localhost", Forwarded: "host=localhost" };
      return (await fetch("/status", { headers })).status;
    });
    expect(forged).toBe(403);
    expect((await page.goto(`http://localhost:${port}/status`))?.status()).toBe(200);
  });

  test.skipIf(noFront("Caddy"))("behind Caddy, as the README has it, the same kind of name is let in", async () => {
    const { daemon, mux } = await serving();
    const front = await FRONTS.Caddy(daemon.port);
    const page = await browser.newPage();
    await page.goto(`http://${DASH}:${front.port}/`);
    expect(await openTerminal(page)).toBe("open");
    expect(mux.clients).toHaveLength(1);
    // Past the front it is refused.
    await page.goto(`http://${DASH}:${daemon.port}/`);
    expect(await openTerminal(page)).toBe("closed with 1006");
  });
});
