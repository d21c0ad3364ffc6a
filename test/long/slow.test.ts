// Slow peers are not dead: long messages and slow readers, and how long a ping may take behind them.

import { expect, test, vi } from "vitest";
import type { WebSocket } from "ws";
import { dial, head } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { BINARY, encode } from "../kit/wire.ts";
import { closed, openRaw, openWs, pinged, rawSocket, readSlowly } from "../kit/tunnel.ts";
import { httpUpstream, muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

// Shorter than what follows is slow, longer than this process may be busy with 64 MB.
const LIMITS = ["--ping-interval", "100ms", "--ping-timeout", "1s"];
const MB = 1024 * 1024;

async function open(...more: string[]): Promise<{ daemon: TestDaemon; client: WebSocket; mux: WebSocket }> {
  const upstream = await muxUpstream({ silent: true });
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, ...LIMITS, ...more]);
  const client = await openWs(daemon, "/mux", { maxPayload: 0, skipUTF8Validation: true });
  const mux = await until(() => upstream.clients[0], "the mux' end");
  return { daemon, client, mux };
}

/** Another tunnel, whose pings tell the time. */
async function clock(): Promise<WebSocket> {
  const upstream = await muxUpstream();
  return await openWs(await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, "--ping-interval", "50ms"]));
}

test.each(["client", "mux"])(
  "64 MB in one message, slowly to the %s: no ping inside it, no false alarm",
  async (way) => {
    const message = Buffer.alloc(64 * MB, "0123456789abcdef");
    const bytes = encode({ opcode: BINARY, payload: message }, way === "mux");
    const { daemon, client, mux } = await open();
    const [from, to] = way === "client" ? [mux, client] : [client, mux];
    let pings = 0;
    to.on("ping", () => (pings += 1));
    await until(() => pings > 1, "a ping before");
    readSlowly(rawSocket(to), 16 * MB);
    const came = new Promise<Buffer>((resolve) => to.once("message", resolve));
    const before = pings;
    rawSocket(from).write(bytes);
    // A ping inside the message would break it: ws ends with an error.
    expect((await within(came, "64 MB", 15_000)).equals(message)).toBe(true);
    expect(pings - before).toBeLessThanOrEqual(2);
    await pinged(to, 2);
    expect(daemon.log.some(({ msg }) => msg === "tunnel ended")).toBe(false);
  },
);

test("a client that takes nothing for longer than interval and timeout, and then goes on, loses nothing", async () => {
  const { daemon, client, mux } = await open();
  const time = await clock();
  rawSocket(client).pause();
  const came: number[] = [];
  client.on("message", (data: Buffer) => came.push(data.length));
  for (let n = 0; n < 160; n += 1) mux.send(Buffer.alloc(128 * 1024));
  await pinged(time, 30);
  expect(daemon.log.some(({ msg }) => msg === "tunnel ended")).toBe(false);
  rawSocket(client).resume();
  await until(() => came.length === 160, "all messages", 10_000);
  await pinged(client, 2);
});

test("a side that takes no byte for --stall-timeout is dropped, and the other told", async () => {
  const { daemon, client, mux } = await open("--stall-timeout", "500ms");
  rawSocket(client).pause();
  for (let n = 0; n < 160; n += 1) mux.send(Buffer.alloc(128 * 1024));
  expect(await closed(mux)).toBe(1001);
  await daemon.logged(({ by, how }) => by === "client" && how === "timeout", "client timeout");
});

// In 2 s it takes 800 KB: more than the sixteenth of a receive buffer of 6 MB that its kernel waits for before it says
// that there is room, and less than the third of a send buffer of 4 MB that ours waits for before it says so.
const KBS_400 = 400 * 1024;

test("a client that reads slowly for longer than --stall-timeout is not stalled", async () => {
  const { daemon, client, mux } = await open("--stall-timeout", "2s");
  readSlowly(rawSocket(client), KBS_400);
  const before = rawSocket(client).bytesRead;
  for (let n = 0; n < 160; n += 1) mux.send(Buffer.alloc(128 * 1024));
  await until(() => rawSocket(client).bytesRead > before + 6 * KBS_400, "what it takes in 6 s", 15_000);
  expect(daemon.log.filter(({ msg }) => msg === "tunnel ended")).toEqual([]);
});

test("a download that is read slowly for longer than --body-timeout goes on, and is cut when it is not read any more", async () => {
  const web = await httpUpstream((_req, res) => res.end(Buffer.alloc(64 * MB)));
  const daemon = await startDaemon(["--http", String(web.port), "--body-timeout", "2s"]);
  const client = await dial(daemon.port);
  const stop = readSlowly(client.socket, KBS_400);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  await until(() => client.socket.bytesRead > 6 * KBS_400, "what it takes in 6 s", 15_000);
  expect(daemon.log.filter(({ msg }) => msg === "request ended")).toEqual([]);
  stop();
  const line = await daemon.logged(({ how }) => how === "timeout", "the end", 6000);
  expect(line).toMatchObject({ by: "client", phase: "response_body", status: 200 });
});

test("a mux that takes no byte for --stall-timeout is dropped, and the client told", async () => {
  const { daemon, client, mux } = await open("--stall-timeout", "500ms");
  rawSocket(mux).pause();
  for (let n = 0; n < 160; n += 1) client.send(Buffer.alloc(128 * 1024));
  expect(await closed(client)).toBe(1012);
  await daemon.logged(({ by, how }) => by === "upstream" && how === "timeout", "upstream timeout");
});

test("bytes before a FIN reach a slow reader", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, "--ping-interval", "0"]);
  const { client, mux, toClient } = await openRaw(daemon, upstream);
  readSlowly(client.socket, 3 * MB);
  const size = 9 * MB;
  mux.send(Buffer.alloc(size, 0x82));
  mux.halfClose();
  await within(client.ended, "FIN", 15_000);
  expect(toClient().length).toBe(size);
});
