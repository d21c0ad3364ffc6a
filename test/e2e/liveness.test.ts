// Half-open peers are found by pings; peers that are only slow are not cut.

import { expect, test, vi } from "vitest";
import { startPeer } from "../kit/peer.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { encode, PING, receive, TEXT } from "../kit/wire.ts";
import { closed, openRaw, openWs, pinged } from "../kit/tunnel.ts";
import { muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const INTERVAL = 200;
// Longer than this process may be busy with something else.
const TIMEOUT = 1000;
/** Two ticks of the clock, and a machine that does other things, too. */
const SLACK = 1500;

async function start(mux: number, ...more: string[]): Promise<TestDaemon> {
  const limits = ["--ping-interval", `${INTERVAL}ms`, "--ping-timeout", `${TIMEOUT}ms`];
  return await startDaemon(["--http", String(mux), "--mux", `${mux}/mux`, ...limits, ...more]);
}

const ended = (daemon: TestDaemon, by: string, how: string): Promise<unknown> =>
  daemon.logged((line) => line.msg === "tunnel ended" && line["by"] === by && line["how"] === how, `${by} ${how}`);

test("a mux frozen under an idle tunnel: the client sees 1012, the sockets are gone, and it may come back", async () => {
  const mux = startPeer("mux.mjs");
  const daemon = await start(await mux.printed("port"));
  const client = await openWs(daemon);
  await pinged(client, 2);
  const open = daemon.sockets();
  mux.signal("SIGSTOP");
  const frozen = performance.now();
  expect(await closed(client)).toBe(1012);
  expect(performance.now() - frozen).toBeLessThan(INTERVAL + TIMEOUT + SLACK);
  await ended(daemon, "upstream", "no_pong");
  await until(() => daemon.sockets() <= open - 2, "sockets gone");
  mux.signal("SIGCONT");
  const again = await openWs(daemon);
  await pinged(again, 2);
});

test("a client frozen under an idle tunnel: the mux sees 1001, the sockets are gone", async () => {
  const mux = await muxUpstream();
  const daemon = await start(mux.port);
  const client = startPeer("client.mjs", [`ws://127.0.0.1:${daemon.port}/mux`]);
  await client.printed("open");
  const [socket] = mux.clients;
  if (!socket) throw new Error("no client");
  await pinged(socket, 2);
  const open = daemon.sockets();
  client.signal("SIGSTOP");
  const frozen = performance.now();
  expect(await closed(socket)).toBe(1001);
  expect(performance.now() - frozen).toBeLessThan(INTERVAL + TIMEOUT + SLACK);
  await ended(daemon, "client", "no_pong");
  await until(() => daemon.sockets() <= open - 2, "sockets gone");
});

test("a client that reads and does not answer is pinged once, then cut; the mux sees a masked Close 1001", async () => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream.port);
  const { client, mux, toClient, toMux } = await openRaw(daemon, upstream);
  // The mux answers; the client does not.
  mux.socket.on("data", () => mux.send(encode({ opcode: TEXT, payload: Buffer.from("here") }, false)));
  await client.ended;
  await mux.ended;
  const clientGot = await receive([toClient()], { masked: false });
  expect(clientGot.filter(({ kind }) => kind === "ping")).toHaveLength(1);
  const muxGot = await receive([toMux()], { masked: true });
  expect(muxGot.at(-1)).toEqual({ kind: "close", data: "1001" });
});

test("any byte is a sign of life: a peer that never answers a ping, but speaks, stays", async () => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream.port);
  const { client, mux, toClient } = await openRaw(daemon, upstream);
  const answer = (masked: boolean): Buffer => encode({ opcode: TEXT, payload: Buffer.from("x") }, masked);
  client.socket.on("data", () => client.send(answer(true)));
  mux.socket.on("data", () => mux.send(answer(false)));
  // They answer each other's answers, too; so it ends with a count.
  await until(() => toClient().length > 200, "data and pings", 10_000);
  expect(daemon.log.some(({ msg }) => msg === "tunnel ended")).toBe(false);
});

test("both ends stopped inside a frame: neither can be asked, and the tunnel ends all the same", async () => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream.port);
  const { client, mux, toClient, toMux } = await openRaw(daemon, upstream);
  const open = daemon.sockets();
  const whole = (masked: boolean): Buffer => encode({ opcode: TEXT, payload: Buffer.alloc(50, "a") }, masked);
  client.send(whole(true).subarray(0, 20));
  mux.send(whole(false).subarray(0, 20));
  await Promise.all([client.ended, mux.ended]);
  expect(toClient()).toEqual(whole(false).subarray(0, 20));
  expect(toMux()).toEqual(whole(true).subarray(0, 20));
  await until(() => daemon.sockets() <= open - 2, "sockets gone");
});

test("an interval of 0: nobody is asked", async () => {
  const upstream = await rawUpstream();
  const quiet = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, "--ping-interval", "0"]);
  const { toClient, toMux } = await openRaw(quiet, upstream);
  // Time is counted by the pings of another daemon.
  const mux = await muxUpstream();
  const clock = await openWs(await start(mux.port, "--ping-interval", "100ms"));
  await pinged(clock, 10);
  expect([toClient().length, toMux().length]).toEqual([0, 0]);
});

test("a stream that breaks framing is relayed byte for byte, and nobody is asked or told any more", async () => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream.port);
  const { client, mux, toClient, toMux } = await openRaw(daemon, upstream);
  const noise = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919 + 255) % 256));
  client.send(noise);
  // One side may look like frames: the stream is opaque as a whole.
  const text = encode({ opcode: TEXT, payload: Buffer.from("hi") }, false);
  mux.send(text);
  await until(() => toMux().length === noise.length && toClient().length === text.length, "both");
  const other = await muxUpstream();
  await pinged(await openWs(await start(other.port, "--ping-interval", "100ms")), 10);
  mux.reset();
  await client.ended;
  expect(toMux().equals(noise)).toBe(true);
  expect(toClient().equals(text)).toBe(true);
});

test("the daemon itself was frozen for longer than interval and timeout: nobody is taken for dead", async () => {
  const mux = await muxUpstream();
  const daemon = await start(mux.port);
  const client = await openWs(daemon);
  const other = await muxUpstream();
  const clock = await openWs(await start(other.port, "--ping-interval", "100ms"));
  for (let n = 0; n < 2; n += 1) {
    // Right behind a ping, so that the pong arrives in the time of the freeze.
    await pinged(client, 1);
    daemon.child.kill("SIGSTOP");
    await pinged(clock, 20);
    daemon.child.kill("SIGCONT");
  }
  await pinged(client, 2);
  expect(daemon.log.some(({ msg }) => msg === "tunnel ended")).toBe(false);
});

test("a ping behind a fragment does not disturb the message: control frames may stand there", async () => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream.port);
  const { client, mux, toClient } = await openRaw(daemon, upstream);
  client.socket.on("data", () => client.send(encode({ opcode: PING, payload: Buffer.alloc(0) }, true)));
  mux.send(encode({ opcode: TEXT, payload: Buffer.from("first "), fin: false }, false));
  await until(
    async () => (await receive([toClient()], { masked: false })).some(({ kind }) => kind === "ping"),
    "a ping",
  );
  mux.send(encode({ opcode: 0, payload: Buffer.from("second") }, false));
  await until(async () => {
    const events = await receive([toClient()], { masked: false });
    return events.some(({ kind, data }) => kind === "message" && data === "first second");
  }, "the message");
});
