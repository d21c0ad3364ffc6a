// What can only be arranged with the tunnel's own sockets in hand. Both ends are real connections.

import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { LiveSet } from "../../src/core/live-set.ts";
import { Clock } from "../../src/core/timer.ts";
import { Tunnel } from "../../src/tunnel/tunnel.ts";
import { wrap, type RawClient } from "../kit/client.ts";
import { BINARY, close, CLOSE, encode, frameHeader, receive } from "../kit/wire.ts";
import { until } from "../kit/until.ts";

/** A connection: the tunnel's socket, and the peer's. */
async function pair(): Promise<[Socket, RawClient]> {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const peer = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const socket = await accepted;
  server.close();
  onTestFinished(() => {
    socket.destroy();
    peer.destroy();
  });
  return [socket, wrap(peer)];
}

interface Rig {
  tunnel: Tunnel;
  tunnels: LiveSet<Tunnel>;
  client: RawClient;
  mux: RawClient;
  clientSocket: Socket;
  muxSocket: Socket;
  ended: { by: string; how: string }[];
  toClient: () => Buffer;
  toMux: () => Buffer;
}

async function rig(options: { stallMs?: number; pingIntervalMs?: number; pingTimeoutMs?: number } = {}): Promise<Rig> {
  const [clientSocket, client] = await pair();
  const [muxSocket, mux] = await pair();
  const tunnels = new LiveSet<Tunnel>();
  const ended: { by: string; how: string }[] = [];
  const tunnel = new Tunnel(
    {
      clock: new Clock(10),
      tunnels,
      options: { stallMs: 60_000, pingIntervalMs: 0, pingTimeoutMs: 1000, ...options },
    },
    {
      client: clientSocket,
      upstream: muxSocket,
      extensions: false,
      id: "1",
      route: "mux",
      from: "",
      path: "/mux",
      ended: (by, how) => void ended.push({ by, how }),
      ponged: () => {},
    },
  );
  tunnel.start(Buffer.alloc(0), Buffer.alloc(0));
  const got = (peer: RawClient) => (): Buffer => Buffer.from(peer.received(), "latin1");
  return { tunnel, tunnels, client, mux, clientSocket, muxSocket, ended, toClient: got(client), toMux: got(mux) };
}

const frame = (payload: string, masked: boolean): Buffer =>
  encode({ opcode: BINARY, payload: Buffer.from(payload) }, masked);

/** Sends small pieces until a few bytes wait in the tunnel's memory, too few to make it stop reading. */
async function backlog({ tunnel, mux, clientSocket }: Rig): Promise<void> {
  mux.send(frameHeader({ opcode: BINARY }, 2 ** 32, false));
  await until(() => tunnel.upstream.bytes === 10, "the header");
  const piece = Buffer.alloc(4096);
  for (let sent = 10; clientSocket.writableLength === 0;) {
    mux.send(piece);
    sent += piece.length;
    while (tunnel.upstream.bytes < sent) await new Promise((resolve) => setImmediate(resolve));
  }
}

test("both have closed, but the client leaves the last bytes untaken: it is dropped, not kept for ever", async () => {
  const all = await rig({ stallMs: 300 });
  const { tunnels, client, mux, ended } = all;
  client.stall();
  client.halfClose();
  await mux.ended;
  await backlog(all);
  mux.halfClose();
  await until(() => ended.length > 0, "the end");
  expect(ended).toEqual([{ by: "client", how: "timeout" }]);
  await until(() => tunnels.size === 0, "both sockets closed");
});

test("a few bytes that are not taken are waited for as long as many", async () => {
  const all = await rig({ stallMs: 300 });
  all.client.stall();
  await backlog(all);
  const { ended } = all;
  await until(() => ended.length > 0, "the end");
  expect(ended).toEqual([{ by: "client", how: "timeout" }]);
});

test("after our Close nothing follows it, whatever still comes and whatever was still wanted", async () => {
  const { tunnel, client, mux, toClient, toMux } = await rig({ pingIntervalMs: 50 });
  // Inside a frame towards the client, until a ping waits for its end.
  mux.send(frameHeader({ opcode: BINARY }, 100, false));
  await until(() => tunnel.client.wantsPing !== undefined, "a ping that waits");
  // The client is inside a frame, too, so only one end can be told.
  client.send(frameHeader({ opcode: BINARY }, 100, true));
  await until(() => tunnel.client.bytes >= 6, "the header");
  tunnel.drain();
  expect([tunnel.client.told, tunnel.upstream.told]).toEqual([false, false]);
  mux.send(Buffer.concat([Buffer.alloc(100), frame("too late", false)]));
  await until(() => tunnel.client.told, "the Close");
  mux.send(frame("far too late", false));
  await until(() => tunnel.client.wantsPing !== undefined || tunnel.upstream.bytes > 125, "more to come");
  client.send(Buffer.concat([Buffer.alloc(100), frame("too late as well", true)]));
  await Promise.all([client.ended, mux.ended]);
  // What came in the same piece may pass before the Close; nothing passes behind it.
  expect(toClient().subarray(-4)).toEqual(close(1001, false));
  expect(toMux().subarray(-8, -6)).toEqual(Buffer.from([0x88, 0x82]));
  for (const [bytes, masked] of [
    [toClient(), false],
    [toMux(), true],
  ] as const) {
    const got = await receive([bytes], { masked });
    expect(got.at(-1)).toEqual({ kind: "close", data: "1001" });
    expect(got.some(({ kind, data }) => kind === "message" && data.length === 100)).toBe(true);
  }
});

test("a drain does not answer a Close in the place of the peer", async () => {
  const { tunnel, client, mux, toClient, toMux } = await rig();
  const closing = encode({ opcode: CLOSE, payload: Buffer.from([0x0f, 0xa0]) }, true);
  client.send(closing);
  await until(() => toMux().length === closing.length, "the client's Close");
  tunnel.drain();
  const reply = encode({ opcode: CLOSE, payload: Buffer.from([0x0f, 0xa0]) }, false);
  mux.send(reply);
  mux.halfClose();
  await client.ended;
  client.halfClose();
  await mux.ended;
  expect([toClient(), toMux()]).toEqual([reply, closing]);
});

test("a link that is lost does not cut a tunnel whose upstream was not listened to", async () => {
  const { tunnel, client, mux, muxSocket, ended, toClient } = await rig();
  client.stall();
  const size = 16 * 1024 * 1024;
  mux.send(Buffer.concat([frameHeader({ opcode: BINARY }, size, false), Buffer.alloc(size)]));
  await until(() => muxSocket.isPaused(), "the upstream to be held up");
  tunnel.onLinkLost("mux", performance.now() + 1);
  expect(ended).toEqual([]);
  client.socket.resume();
  await until(() => toClient().length === size + 10, "everything", 10_000);
  tunnel.onLinkLost("mux", performance.now() + 1000);
  expect(ended).toEqual([{ by: "upstream", how: "timeout" }]);
});
