// Tunnels when the process is told to stop, and when their mux is killed.

import { expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { startPeer } from "../kit/peer.ts";
import { dial, upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { close, encode, receive, TEXT } from "../kit/wire.ts";
import { closed, openRaw, openWs, SWITCHING } from "../kit/tunnel.ts";
import { muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const text = (payload: string): Buffer => encode({ opcode: TEXT, payload: Buffer.from(payload) }, false);

test("SIGTERM: both sides of every tunnel see 1001, and it exits with 0", async () => {
  const mux = await muxUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`]);
  const clients = await Promise.all(Array.from({ length: 20 }, () => openWs(daemon)));
  const codes = [...clients, ...mux.clients].map((socket) => closed(socket));
  expect(codes).toHaveLength(40);
  expect(await daemon.stop()).toBe(0);
  expect(new Set(await Promise.all(codes))).toEqual(new Set([1001]));
});

test("SIGTERM inside a frame: the Close stands behind its end, not in it", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`]);
  const { client, mux, toClient, toMux } = await openRaw(daemon, upstream);
  const frame = text("a frame that is long enough");
  mux.send(frame.subarray(0, 10));
  await until(() => toClient().length === 10, "half a frame");
  daemon.child.kill("SIGTERM");
  await until(() => toMux().length > 0, "the Close to the mux");
  expect(await receive([toMux()], { masked: true })).toEqual([{ kind: "close", data: "1001" }]);
  mux.send(frame.subarray(10));
  await within(client.ended, "the end");
  expect(toClient()).toEqual(Buffer.concat([frame, close(1001, false)]));
  client.halfClose();
  mux.halfClose();
  expect(await within(daemon.exited, "exit")).toBe(0);
});

test("SIGTERM inside a frame that never ends: cut at the deadline, without a Close in it", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, "--drain", "400ms"]);
  const { client, mux, toClient } = await openRaw(daemon, upstream);
  const half = text("a frame that is long enough").subarray(0, 10);
  mux.send(half);
  await until(() => toClient().length === 10, "half a frame");
  daemon.child.kill("SIGTERM");
  expect(await within(daemon.exited, "exit", 4000)).toBe(0);
  await within(client.ended, "the end");
  expect(toClient()).toEqual(half);
});

test("SIGTERM inside a closing handshake: it is left to the peers", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`]);
  const { client, mux, toClient, toMux } = await openRaw(daemon, upstream);
  client.send(close(4000, true));
  await until(() => toMux().length > 0, "the Close");
  daemon.child.kill("SIGTERM");
  await daemon.logged(({ msg }) => msg === "draining", "draining");
  mux.send(close(4000, false));
  mux.halfClose();
  await within(client.ended, "the end");
  client.halfClose();
  expect(await within(daemon.exited, "exit", 4000)).toBe(0);
  expect([toClient(), toMux()]).toEqual([close(4000, false), close(4000, true)]);
});

test("a handshake that is answered while it drains: the new tunnel is told like the others", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`]);
  const client = await dial(daemon.port);
  client.send(upgrade());
  const mux = await upstream.next();
  await mux.readUntil("\r\n\r\n");
  daemon.child.kill("SIGTERM");
  await daemon.logged(({ msg }) => msg === "draining", "draining");
  mux.send(SWITCHING);
  await within(client.ended, "the end");
  expect(Buffer.from(client.received(), "latin1").subarray(-4)).toEqual(close(1001, false));
  await within(mux.ended, "the end");
  expect(Buffer.from(mux.received(), "latin1").subarray(-8, -6)).toEqual(Buffer.from([0x88, 0x82]));
  client.halfClose();
  mux.halfClose();
  expect(await within(daemon.exited, "exit", 4000)).toBe(0);
});

test("a mux killed under 100 tunnels: all know within 2 s, wait at the door, and are served when it is back", async () => {
  const first = startPeer("mux.mjs");
  const port = await first.printed("port");
  const daemon = await startDaemon(["--http", "1", "--mux", `${port}/mux`]);
  const url = `ws://127.0.0.1:${daemon.port}/mux`;
  const clients = Array.from({ length: 100 }, (_, n) => {
    const half = n % 5 === 0;
    const socket = new WebSocket(half ? `${url}?half=1` : url);
    socket.on("error", () => {});
    const hello = new Promise((resolve) => socket.once("message", resolve));
    return { socket, half, hello };
  });
  await within(Promise.all(clients.map(({ hello }) => hello)), "100 tunnels", 10_000);
  const killed = performance.now();
  const codes = clients.map(({ socket }) => closed(socket));
  first.signal("SIGKILL");
  const seen = await Promise.all(codes);
  expect(performance.now() - killed).toBeLessThan(2000);
  expect(seen).toEqual(clients.map(({ half }) => (half ? 1006 : 1012)));

  // They come back at once, as such clients do, while nobody listens.
  const again = clients.map(() => {
    const socket = new WebSocket(url);
    const hello = new Promise((resolve) => socket.once("message", resolve));
    const failed = new Promise((_, reject) => socket.once("error", reject));
    return { socket, hello: Promise.race([hello, failed]) };
  });
  await daemon.logged(({ msg }) => msg.includes("mux is"), "the link to be in doubt", 5000);
  const second = startPeer("mux.mjs", [String(port)]);
  await second.printed("port");
  await within(Promise.all(again.map(({ hello }) => hello)), "all served", 8000);
  for (const { socket } of again) socket.terminate();
});
