// A subscription of graphql-ws: it goes on after its server was killed, after the network was reset, and after the
// proxy was replaced. Its client does that by itself for the codes that it is closed with.

import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { cleanEnv, faultsIn, startDaemon } from "../kit/daemon.ts";
import { folderIn, fromNpm } from "../kit/npm.ts";
import { relayTo } from "../kit/relay.ts";
import { service } from "../kit/service.ts";
import { until } from "../kit/until.ts";
import { deadPort } from "../kit/upstream.ts";

/** The client pauses before it asks again, each time for longer. */
const SOON_MS = 60_000;
const { folder, missing } = await fromNpm("graphql", { graphql: "16.15.0", "graphql-ws": "6.4.2", ws: "8.23.0" });

/** What is used of graphql-ws, which has no types here. */
interface Module {
  createClient: (options: object) => {
    on(event: "closed", listener: (event: { code: number }) => void): void;
    iterate(request: { query: string }): AsyncIterable<{ data: { ticks: string } }>;
    terminate(): void;
  };
}

const title = missing === undefined ? "graphql-ws" : `graphql-ws (skipped: ${missing})`;
test.skipIf(missing)(title, { timeout: 120_000 }, async () => {
  const own = folderIn(folder);
  copyFileSync(fileURLToPath(new URL("../kit/live/graphql.mjs", import.meta.url)), join(own, "server.mjs"));
  const server = await service(own, cleanEnv(), (port) => [join(own, "server.mjs"), String(port)]);
  await server.start();
  const args = ["--http", String(await deadPort()), "--mux", `/graphql=${server.port}/graphql`, "--hold", "60s"];
  const daemon = await startDaemon(args);
  const network = await relayTo(daemon.port);

  const entry = pathToFileURL(join(folder, "node_modules/graphql-ws/dist/client.js")).href;
  const { createClient } = (await import(/* @vite-ignore */ entry)) as Module;
  class Page extends WebSocket {
    constructor(url: string, protocols: string) {
      super(url, protocols, { origin: `http://127.0.0.1:${network.port}` });
    }
  }
  const client = createClient({ url: `ws://127.0.0.1:${network.port}/graphql`, webSocketImpl: Page });
  onTestFinished(() => client.terminate());
  const codes: number[] = [];
  client.on("closed", ({ code }) => codes.push(code));
  let last = "";
  let failed: unknown;
  const subscribe = async (): Promise<void> => {
    for await (const { data } of client.iterate({ query: "subscription { ticks }" })) last = data.ticks;
  };
  void subscribe().catch((error: unknown) => (failed = error));
  /** Waits for a tick from now on; resolves with the process that it came from. */
  const ticks = async (what: string): Promise<string> => {
    last = "";
    await until(() => last !== "" || failed !== undefined, `a tick ${what}`, SOON_MS);
    expect(failed, what).toBeUndefined();
    return last.split(" ")[0] ?? "";
  };

  const first = await ticks("at first");
  await server.kill();
  await until(() => codes.length === 1, "the Close", SOON_MS);
  await server.start();
  expect(await ticks("after the restart")).not.toBe(first);
  expect(network.reset()).toBe(1);
  await until(() => codes.length === 2, "the reset to be noticed", SOON_MS);
  await ticks("after the reset");
  const newer = await startDaemon([...args, "--port", String(daemon.port), "--takeover"]);
  await until(() => codes.length === 3, "the Close", SOON_MS);
  await ticks("after the takeover");
  // Restarted, gone without a Close, going away.
  expect(codes).toEqual([1012, 1006, 1001]);
  expect([...faultsIn(daemon.log), ...faultsIn(newer.log)]).toEqual([]);
});
