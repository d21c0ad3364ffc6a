// socket.io's own clients in front of its own server, as the README has it: polling and its upgrade, restarts, resets.

import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { Report } from "../../src/ops/report.ts";
import { askAdmin } from "../kit/admin.ts";
import { cleanEnv, faultsIn, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { folderIn, fromNpm } from "../kit/npm.ts";
import { readmeBlock, substitute } from "../kit/readme.ts";
import { relayTo } from "../kit/relay.ts";
import { service, type Service } from "../kit/service.ts";
import { until, within } from "../kit/until.ts";
import { httpUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 90_000 });
/** The clients pause before they ask again, each time for longer. */
const SOON_MS = 30_000;

const { folder, missing } = await fromNpm("socket-io", { "socket.io": "4.8.4", "socket.io-client": "4.8.4" });

/** What is used of socket.io-client, which has no types here. */
interface Socket {
  connected: boolean;
  io: { engine: { transport: { name: string } } };
  on(event: string, listener: (argument: string) => void): this;
  timeout(ms: number): { emitWithAck(event: string, words: string): Promise<string> };
  disconnect(): void;
}

/** A client that connects by itself, and what it was told. */
interface Client {
  socket: Socket;
  events: string[];
  transport(): string;
  /** Has the server answer, which it does only for a client that it knows. */
  says(words: string): Promise<void>;
}

function client(port: number, options: object = {}): Client {
  const { io } = createRequire(join(folder, "x.js"))("socket.io-client") as {
    io: (url: string, options: object) => Socket;
  };
  // A page sends its origin; node has to be told to.
  const headers = { extraHeaders: { Origin: `http://127.0.0.1:${port}` } };
  const socket = io(`http://127.0.0.1:${port}`, { forceNew: true, ...headers, ...options });
  const events: string[] = [];
  for (const event of ["connect", "disconnect", "connect_error"]) socket.on(event, () => events.push(event));
  onTestFinished(() => socket.disconnect());
  return {
    socket,
    events,
    transport: () => socket.io.engine.transport.name,
    says: async (words) => {
      await until(() => socket.connected, `a connection to say ${words}`, SOON_MS);
      expect(await socket.timeout(SOON_MS).emitWithAck("say", words)).toBe(`heard ${words}`);
    },
  };
}

/** The README's server. */
async function socketIo(): Promise<Service> {
  const own = folderIn(folder);
  const server = await service(own, cleanEnv(), (port) => {
    const text = substitute(readmeBlock("js", 'from "socket.io"'), { "4000": String(port) });
    writeFileSync(join(own, "server.mjs"), text);
    return [join(own, "server.mjs")];
  });
  await server.start();
  return server;
}

/** Kills the server, and starts it again when somebody is held for it already. */
async function restart(server: Service, daemon: TestDaemon): Promise<void> {
  await server.kill();
  const held = async (): Promise<number> => (JSON.parse(await askAdmin(daemon, "/status")) as Report).held;
  await until(async () => (await held()) > 0, "somebody to be held", SOON_MS);
  await server.start();
}

const title = missing === undefined ? "socket.io" : `socket.io (skipped: ${missing})`;
describe.skipIf(missing)(title, () => {
  test("polls, then upgrades; outlives a restart of its server and a reset network, without an error", async () => {
    const server = await socketIo();
    const daemon = await startDaemon(["--http", String(server.port), "--admin", "127.0.0.1:0"]);
    const network = await relayTo(daemon.port);
    const both = client(network.port);
    const polling = client(network.port, { transports: ["polling"] });
    const webSocket = client(network.port, { transports: ["websocket"] });
    const all = [both, polling, webSocket];
    const talk = async (words: string): Promise<void> => void (await Promise.all(all.map((one) => one.says(words))));

    await talk("hello");
    await until(() => both.transport() === "websocket", "the upgrade", SOON_MS);
    await talk("after the upgrade");
    expect(all.map((one) => one.transport())).toEqual(["websocket", "polling", "websocket"]);

    await restart(server, daemon);
    for (const { events } of all) await until(() => events.length === 3, "a new connection", SOON_MS);
    await talk("after the restart");
    for (const { events } of all) expect(events).toEqual(["connect", "disconnect", "connect"]);
    await until(() => both.transport() === "websocket", "the upgrade", SOON_MS);

    // One that polls may be between two requests, and then has not noticed.
    expect(network.reset()).toBeGreaterThan(1);
    for (const { events } of [both, webSocket]) await until(() => events.length === 5, "a new connection", SOON_MS);
    await talk("after the reset");
    for (const { events } of all) expect(["", "disconnect,connect"]).toContain(events.slice(3).join());
    expect(faultsIn(daemon.log)).toEqual([]);
  });

  test("on a port of its own, by WebSocket alone, while the web server is elsewhere", async () => {
    const web = await httpUpstream((_req, res) => res.end("the dashboard"));
    const server = await socketIo();
    const [, recipe = ""] =
      /^single-port --port 3000 (.*socket\.io.*)$/m.exec(readmeBlock("sh", "4001/socket.io/")) ?? [];
    const args = substitute(recipe, { "4000": String(web.port), "4001": String(server.port) }).split(" ");
    const daemon = await startDaemon([...args, "--admin", "127.0.0.1:0"]);
    const one = client(daemon.port, { transports: ["websocket"] });
    await one.says("hello");
    await restart(server, daemon);
    await until(() => one.events.length === 3, "a new connection", SOON_MS);
    await one.says("after the restart");
    expect(one.events).toEqual(["connect", "disconnect", "connect"]);
    expect(await (await fetch(`http://127.0.0.1:${daemon.port}/`)).text()).toBe("the dashboard");
    const stranger = client(daemon.port, {
      transports: ["websocket"],
      reconnection: false,
      extraHeaders: { Origin: "http://evil.example" },
    });
    await within(new Promise((resolve) => stranger.socket.on("connect_error", resolve)), "the refusal of a stranger");
    expect(faultsIn(daemon.log)).toEqual([]);
  });
});
