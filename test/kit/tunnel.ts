// Tunnels whose two ends the test holds, by the byte or as ws.

import { WebSocket, type ClientOptions } from "ws";
import { onTestFinished } from "vitest";
import type { Socket } from "node:net";
import { dial, head, upgrade, type RawClient } from "./client.ts";
import type { TestDaemon } from "./daemon.ts";
import type { RawUpstream } from "./upstream.ts";
import { until, within } from "./until.ts";
import { encode, TEXT } from "./wire.ts";

/** The 101 of a mux. */
export const SWITCHING: string = head(
  "HTTP/1.1 101 Switching Protocols",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
);

/** One tunnel with raw sockets at both ends. */
export interface RawTunnel {
  client: RawClient;
  mux: RawClient;
  /** What the client got behind the 101. */
  toClient: () => Buffer;
  /** What the mux got behind the request's head. */
  toMux: () => Buffer;
}

/** Opens one; the upstream must not script its connections. */
export async function openRaw(daemon: TestDaemon, upstream: RawUpstream, path = "/mux"): Promise<RawTunnel> {
  const client = await dial(daemon.port);
  client.send(upgrade(path));
  const mux = await upstream.next();
  await mux.readUntil("\r\n\r\n");
  mux.send(SWITCHING);
  await client.readUntil("\r\n\r\n");
  return { client, mux, toClient: () => behindHead(client), toMux: () => behindHead(mux) };
}

/** Resets the client's side of a tunnel within a frame: that is lost, so the tunnel ended badly. */
export async function resetWithinFrame(daemon: Pick<TestDaemon, "unread">, client: RawClient): Promise<void> {
  client.send(encode({ opcode: TEXT, payload: Buffer.from("never to be finished") }, true).subarray(0, 12));
  await until(() => daemon.unread(client.socket.localPort ?? 0) === 0, "the daemon to read half a frame");
  client.reset();
}

function behindHead(peer: RawClient): Buffer {
  const text = peer.received();
  return Buffer.from(text.slice(text.indexOf("\r\n\r\n") + 4), "latin1");
}

/** Opens a WebSocket through the daemon; it is ended with the test. */
export async function openWs(
  daemon: TestDaemon,
  path = "/mux",
  options: ClientOptions = {},
  protocols: string[] = [],
): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}${path}`, protocols, options);
  onTestFinished(() => socket.terminate());
  socket.on("error", () => {});
  await within(new Promise((resolve) => socket.once("open", resolve)), "open", 5000);
  return socket;
}

/** Resolves with the code and reason of the Close a WebSocket got, or 1006. */
export function closed(socket: WebSocket, ms = 5000): Promise<number> {
  return within(new Promise((resolve) => socket.once("close", (code) => resolve(code))), "close", ms);
}

/** Counts time in pings: resolves when this WebSocket was pinged so often, from now on. */
export async function pinged(socket: WebSocket, times: number, ms = 10_000): Promise<void> {
  let count = 0;
  const onPing = (): void => void (count += 1);
  socket.on("ping", onPing);
  await until(() => count >= times, `${times} pings`, ms);
  socket.off("ping", onPing);
}

/** Takes at most so many bytes a second from now on; returns the function that has it take nothing any more. */
export function readSlowly(socket: Socket, bytesPerSecond: number): () => void {
  let debtMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const onData = (chunk: Buffer): void => {
    debtMs += (chunk.length / bytesPerSecond) * 1000;
    // Timers are no finer than a millisecond or two.
    if (debtMs < 5) return;
    socket.pause();
    timer = setTimeout(() => socket.resume(), debtMs);
    debtMs = 0;
  };
  socket.on("data", onData);
  return () => {
    clearTimeout(timer);
    socket.off("data", onData);
    socket.pause();
  };
}

/** The TCP socket under a WebSocket. */
export function rawSocket(socket: WebSocket): Socket {
  return (socket as unknown as { _socket: Socket })._socket;
}
