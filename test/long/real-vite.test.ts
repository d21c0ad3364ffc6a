// Vite's dev server as the README has it: an edit reaches the page through the proxy, and reaches it again after Vite
// was killed and after the network was reset.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { browserForFile, IN_CHROMIUM, noChromium } from "../kit/browser.ts";
import { head } from "../kit/client.ts";
import { cleanEnv, faultsIn, startDaemon } from "../kit/daemon.ts";
import { atEnd } from "../kit/lifetime.ts";
import { ask } from "../kit/messages.ts";
import { folderIn, fromNpm } from "../kit/npm.ts";
import { readmeBlock, substitute } from "../kit/readme.ts";
import { relayTo } from "../kit/relay.ts";
import { service, type Service } from "../kit/service.ts";
import { until } from "../kit/until.ts";

vi.setConfig({ testTimeout: 120_000 });
const SOON_MS = 60_000;
const DASH = "dash.example.org";

const { folder, missing } = await fromNpm("vite", { vite: "8.3.8" });

/** A page that shows a word, counts clicks, and takes a new word without being loaded again. */
const PAGE =
  '<!doctype html><b id="word"></b><button id="count">0</button><script type="module" src="/main.js"></script>';
const MAIN = `
import { word } from "./word.js";
const show = (text) => (document.getElementById("word").textContent = text);
show(word);
const count = document.getElementById("count");
count.onclick = () => (count.textContent = String(Number(count.textContent) + 1));
import.meta.hot.accept("./word.js", (changed) => show(changed.word));
`;

/** Vite with the README's configuration, and a way to edit the page's source. */
async function vite(): Promise<{ server: Service; edit: (word: string) => void }> {
  const own = folderIn(folder);
  const edit = (word: string): void => writeFileSync(join(own, "word.js"), `export const word = "${word}";\n`);
  writeFileSync(join(own, "index.html"), PAGE);
  writeFileSync(join(own, "main.js"), MAIN);
  edit("first");
  const command = join(folder, "node_modules/vite/bin/vite.js");
  const server = await service(own, cleanEnv(), (port) => {
    const config = substitute(readmeBlock("js", "strictPort"), { "4000": String(port) });
    writeFileSync(join(own, "vite.config.js"), config);
    return [command];
  });
  await server.start();
  return { server, edit };
}

describe.skipIf(missing)(missing === undefined ? "Vite" : `Vite (skipped: ${missing})`, () => {
  test("a front's name is let in, another is not, and an edit reaches a client by that name", async () => {
    const { server, edit } = await vite();
    const daemon = await startDaemon(["--http", String(server.port)]);
    const page = async (host: string, path: string): Promise<{ status: number; body: string }> =>
      await ask(daemon.port, head(`GET ${path} HTTP/1.1`, `Host: ${host}`), SOON_MS);
    expect(await page("evil.example", "/")).toMatchObject({
      status: 403,
      body: expect.stringContaining("Blocked") as string,
    });
    expect((await page(DASH, "/main.js")).status).toBe(200);
    const [, token = ""] = /wsToken = "([^"]+)"/.exec((await page(DASH, "/@vite/client")).body) ?? [];
    const url = `ws://127.0.0.1:${daemon.port}/?token=${token}`;
    const socket = new WebSocket(url, "vite-hmr", { origin: `https://${DASH}`, headers: { Host: DASH } });
    atEnd(() => socket.terminate());
    const heard: string[] = [];
    socket.on("message", (data: Buffer) => heard.push(data.toString()));
    await until(() => heard.some((text) => text.includes('"connected"')), "the first message", SOON_MS);
    edit("second");
    await until(
      () => heard.some((text) => text.includes('"update"') && text.includes("/word.js")),
      "the edit",
      SOON_MS,
    );
  });

  describe.skipIf(noChromium)(IN_CHROMIUM, () => {
    const browser = browserForFile();
    const textOf = async (page: Page, id: string): Promise<string | null> =>
      await page.textContent(`#${id}`).catch(() => null);

    test("hot reload, over a restart of Vite and a reset network", async () => {
      const { server, edit } = await vite();
      const daemon = await startDaemon(["--http", String(server.port), "--hold", "60s"]);
      const network = await relayTo(daemon.port);
      const page = await browser.newPage();
      let connected = 0;
      page.on("console", (message) => (connected += message.text() === "[vite] connected." ? 1 : 0));
      await page.goto(`http://127.0.0.1:${network.port}/`, { timeout: SOON_MS });
      const edits = async (word: string, times: number): Promise<void> => {
        await until(() => connected >= times, "its WebSocket", SOON_MS);
        edit(word);
        await until(async () => (await textOf(page, "word")) === word, `"${word}" on the page`, SOON_MS);
      };
      await until(async () => (await textOf(page, "word")) === "first", "the page", SOON_MS);
      await page.click("#count");
      await edits("second", 1);
      expect(await textOf(page, "count"), "the page was not loaded again").toBe("1");

      // Vite's client loads the page again when its server is back.
      await server.kill();
      await server.start();
      await edits("third", 2);
      expect(network.reset()).toBeGreaterThan(0);
      await edits("fourth", 3);
      expect(faultsIn(daemon.log)).toEqual([]);
    });
  });
});
