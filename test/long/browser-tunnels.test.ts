// Tunnels as a page in a real browser sees them: how they end, who may open one, and that pings disturb nobody.

import type { Page } from "playwright-core";
import { describe, expect, test, vi } from "vitest";
import type { WebSocket as NodeWebSocket } from "ws";
import { pongs } from "../kit/admin.ts";
import { browserForFile, IN_CHROMIUM, noChromium } from "../kit/browser.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { startPeer } from "../kit/peer.ts";
import { noCaddy, tlsCaddyInFrontOf } from "../kit/programs.ts";
import { answer, talk } from "../kit/talk.ts";
import { httpUpstream, muxUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

/** What became of a WebSocket of a page. */
interface Fate {
  opened: boolean;
  first: string | undefined;
  code: number | undefined;
  wasClean: boolean | undefined;
}

/** Opens a WebSocket in the page, and lets `fates` be asked for what became of it. */
async function openIn(page: Page, url: string): Promise<void> {
  await page.evaluate((where) => {
    const fate: Fate = { opened: false, first: undefined, code: undefined, wasClean: undefined };
    const socket = new WebSocket(where);
    Object.assign(globalThis, { fate });
    socket.addEventListener("open", () => (fate.opened = true));
    socket.addEventListener("message", (event) => (fate.first ??= String(event.data)));
    socket.addEventListener("close", ({ code, wasClean }) => Object.assign(fate, { code, wasClean }));
  }, url);
}

const fateOf = (page: Page): Promise<Fate> => page.evaluate(() => (globalThis as unknown as { fate: Fate }).fate);

/** The fate of the page's WebSocket, once it is so far. */
async function fate(page: Page, is: (fate: Fate) => boolean, what: string): Promise<Fate> {
  await until(async () => is(await fateOf(page)), what, 8000);
  return await fateOf(page);
}

const isOpen = ({ first }: Fate): boolean => first === "hello";
const isClosed = ({ code }: Fate): boolean => code !== undefined;

describe.skipIf(noChromium)(IN_CHROMIUM, () => {
  const browser = browserForFile({ ignoreHTTPSErrors: true });

  async function open(url: string): Promise<Page> {
    const page = await browser.newPage();
    await page.goto(url);
    return page;
  }

  /** The port of a site with one empty page. */
  async function site(): Promise<number> {
    const page = "<!doctype html><title>a page</title>";
    const web = await httpUpstream((_req, res) => res.setHeader("Content-Type", "text/html").end(page));
    return web.port;
  }

  /** A dashboard with a mux, and a page of it. */
  async function dashboard(mux: number, ...more: string[]): Promise<{ daemon: TestDaemon; page: Page; ws: string }> {
    const daemon = await startDaemon(["--http", String(await site()), "--mux", `${mux}/mux`, ...more]);
    const page = await open(`http://127.0.0.1:${daemon.port}/`);
    return { daemon, page, ws: `ws://127.0.0.1:${daemon.port}/mux` };
  }

  test("a mux that is killed: the page sees 1012, clean", async () => {
    const mux = startPeer("mux.mjs");
    const { page, ws } = await dashboard(await mux.printed("port"));
    await openIn(page, ws);
    await fate(page, isOpen, "open");
    mux.signal("SIGKILL");
    expect(await fate(page, isClosed, "close")).toMatchObject({ code: 1012, wasClean: true });
  });

  test("a mux that hangs under an idle tunnel: the page sees 1012, clean", async () => {
    const mux = startPeer("mux.mjs");
    const limits = ["--ping-interval", "200ms", "--ping-timeout", "500ms"];
    const { page, ws } = await dashboard(await mux.printed("port"), ...limits);
    await openIn(page, ws);
    await fate(page, isOpen, "open");
    mux.signal("SIGSTOP");
    expect(await fate(page, isClosed, "close")).toMatchObject({ code: 1012, wasClean: true });
  });

  test("a mux that is killed inside a frame: the page sees an unclean end, and no broken message", async () => {
    const mux = startPeer("mux.mjs");
    const { page, ws } = await dashboard(await mux.printed("port"));
    await openIn(page, `${ws}?half=1`);
    await fate(page, isOpen, "open");
    mux.signal("SIGKILL");
    expect(await fate(page, isClosed, "close")).toMatchObject({ first: "hello", code: 1006, wasClean: false });
  });

  test("a proxy that stops: the page sees 1001, clean", async () => {
    const mux = startPeer("mux.mjs");
    const { daemon, page, ws } = await dashboard(await mux.printed("port"));
    await openIn(page, ws);
    await fate(page, isOpen, "open");
    expect(await daemon.stop()).toBe(0);
    expect(await fate(page, isClosed, "close")).toMatchObject({ code: 1001, wasClean: true });
  });

  test("alive through 20 pings each, with compressed data flowing", async () => {
    const mux = await muxUpstream({ silent: true, deflate: true });
    const often = ["--ping-interval", "20ms", "--ping-timeout", "5s", "--admin", "127.0.0.1:0"];
    const { daemon, page, ws } = await dashboard(mux.port, ...often);
    const connected = new Promise<NodeWebSocket>((resolve) => mux.server.once("connection", resolve));
    await page.evaluate(`(${answer.toString()})(new WebSocket(${JSON.stringify(ws)}))`);
    const talker = await within(connected, "the page", 5000);
    expect(talker.extensions).toBe("permessage-deflate");
    await talk(
      talker,
      async () => (await pongs(daemon)).client >= 20,
      async () => (await pongs(daemon)).upstream >= 20,
    );
  });

  test("a page of another origin cannot open the mux; the mux does not even hear of it", async () => {
    const mux = await muxUpstream();
    const { daemon, ws } = await dashboard(mux.port);
    // Another port, and another name for the same machine.
    for (const url of [`http://127.0.0.1:${await site()}/`, `http://localhost:${daemon.port}/`]) {
      const page = await open(url);
      await openIn(page, ws);
      expect(await fate(page, isClosed, "refusal")).toMatchObject({ opened: false, code: 1006 });
    }
    expect(mux.clients).toHaveLength(0);
  });

  test("with --allow-origin it can", async () => {
    const mux = startPeer("mux.mjs");
    const allowed = `http://127.0.0.1:${await site()}`;
    const { ws } = await dashboard(await mux.printed("port"), "--allow-origin", allowed);
    const page = await open(`${allowed}/`);
    await openIn(page, ws);
    await fate(page, isOpen, "open");
  });

  test.skipIf(noCaddy())(
    `behind Caddy, with TLS and another Host, its own page can${noCaddy() ? ` (${noCaddy()})` : ""}`,
    async () => {
      const mux = startPeer("mux.mjs");
      const { daemon } = await dashboard(await mux.printed("port"));
      const caddy = await tlsCaddyInFrontOf(daemon.port);
      const page = await open(`https://dash.localhost:${caddy.port}/`);
      await openIn(page, `wss://dash.localhost:${caddy.port}/ao-terminal-mux`);
      await fate(page, isOpen, "open");
      const evil = await open(`http://127.0.0.1:${await site()}/`);
      await openIn(evil, `wss://dash.localhost:${caddy.port}/ao-terminal-mux`);
      expect(await fate(evil, isClosed, "refusal")).toMatchObject({ opened: false, code: 1006 });
      mux.signal("SIGKILL");
      expect(await fate(page, isClosed, "close")).toMatchObject({ code: 1012, wasClean: true });
    },
  );
});
