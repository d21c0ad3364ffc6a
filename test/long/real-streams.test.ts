// The story of electric 4343 with the stream server and the client of electric's own (durable streams): its server
// goes, by Ctrl-C or kill -9; health says so, and the readers go on when it is back.

import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { LinkReport, Report } from "../../src/ops/report.ts";
import { askAdmin } from "../kit/admin.ts";
import { cleanEnv, faultsIn, startDaemon } from "../kit/daemon.ts";
import { folderIn, fromNpm } from "../kit/npm.ts";
import { service } from "../kit/service.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 120_000 });
/** The client pauses before it asks again, each time for longer. */
const SOON_MS = 60_000;
const PACKAGES = { "@durable-streams/client": "0.2.7", "@durable-streams/server": "0.3.7" };
const { folder, missing } = await fromNpm("streams", PACKAGES);

/** What is used of the client, which has no types here. */
interface Module {
  DurableStream: {
    create: (options: object) => Promise<{ append(text: string): Promise<void> }>;
  };
  stream: (options: object) => Promise<{
    subscribeJson(listener: (batch: { items: { n: number }[]; offset: string }) => Promise<void>): () => void;
    closed: Promise<void>;
  }>;
}

const title = missing === undefined ? "durable streams" : `durable streams (skipped: ${missing})`;
describe.skipIf(missing)(title, () => {
  test.each<[string, NodeJS.Signals]>([
    ["Ctrl-C", "SIGINT"],
    ["kill -9", "SIGKILL"],
  ])("%s of the server: the readers go on, and health tells the story", async (_, signal) => {
    const own = folderIn(folder);
    copyFileSync(fileURLToPath(new URL("../kit/live/streams.mjs", import.meta.url)), join(own, "server.mjs"));
    const args = (port: number): string[] => [join(own, "server.mjs"), String(port), join(own, "data")];
    const server = await service(own, cleanEnv(), args);
    await server.start();
    const flags = ["--probe-interval", "300ms", "--hold", "60s", "--admin", "127.0.0.1:0"];
    const daemon = await startDaemon(["--http", String(server.port), ...flags]);
    const report = async (): Promise<Report> => JSON.parse(await askAdmin(daemon, "/status")) as Report;
    const link = async (): Promise<LinkReport> => (await report()).links[0] as LinkReport;

    const entry = pathToFileURL(join(folder, "node_modules/@durable-streams/client/dist/index.js")).href;
    const client = (await import(/* @vite-ignore */ entry)) as Module;
    const url = `http://127.0.0.1:${daemon.port}/v1/stream/story`;
    const handle = await client.DurableStream.create({ url, contentType: "application/json" });
    const leave = new AbortController();
    onTestFinished(() => leave.abort());
    /** Reads on from where it was, when a stream was cut: what a program has to do itself. */
    const follow = async (live: string, read: number[]): Promise<void> => {
      let offset = "-1";
      while (!leave.signal.aborted) {
        try {
          const reader = await client.stream({ url, live, json: true, offset, signal: leave.signal });
          reader.subscribeJson(async (batch) => {
            read.push(...batch.items.map(({ n }) => n));
            offset = batch.offset;
          });
          await reader.closed;
        } catch {
          // Cut: it is not taken for the end of the stream.
        }
      }
    };
    const readers = ["sse", "long-poll"].map((live) => {
      const read: number[] = [];
      void follow(live, read);
      return read;
    });
    const written: number[] = [];
    const write = async (n: number): Promise<void> => {
      await handle.append(JSON.stringify({ n }));
      written.push(n);
      const all = (): boolean => readers.every((read) => read.length === written.length);
      await until(all, `${n} to be read: ${JSON.stringify(readers)}`, SOON_MS);
      for (const read of readers) expect(read).toEqual(written);
    };

    await write(1);
    await write(2);
    await until(async () => (await link()).state === "up", "up", SOON_MS);
    const before = await link();
    expect(before.reconnectCount).toBe(0);
    await until(async () => (await report()).requests === 2, "both readers to wait", SOON_MS);

    server.signal(signal);
    const ended = within(server.ended(), "the server to end: nobody asks it any more", SOON_MS);
    await until(async () => (await link()).state === "reconnecting", "the loss to be known", SOON_MS);
    const down = await link();
    expect([down.connectedSince, down.reconnectCount]).toEqual([undefined, 0]);
    // Each of them has noticed: it asks again, and is held.
    await until(async () => (await report()).held === 2, "both readers to be held", SOON_MS);
    await until(async () => (await link()).reconnectTries > down.reconnectTries, "further tries", SOON_MS);

    await ended;
    const restarted = Date.now();
    await server.start();
    await until(async () => (await link()).state === "up", "up again", SOON_MS);
    const after = await link();
    expect(after.reconnectCount).toBe(1);
    expect(Date.parse(after.connectedSince ?? "")).toBeGreaterThanOrEqual(restarted);
    expect(Date.parse(after.connectedSince ?? "")).toBeGreaterThan(Date.parse(before.connectedSince ?? ""));
    await write(3);
    expect(faultsIn(daemon.log)).toEqual([]);
  });
});
