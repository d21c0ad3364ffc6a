// A client that sends exactly the bytes it is told to, and sees exactly the bytes that come.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { atEnd } from "./lifetime.ts";
import { until, within } from "./until.ts";

/** How the other side ended a connection. */
export type End = "fin" | "rst";

/** A raw connection. */
export interface RawClient {
  socket: Socket;
  /** All bytes that came, as latin1. */
  received(): string;
  send(bytes: string | Buffer): void;
  /** Resolves when the received text contains (or matches) this. */
  readUntil(wanted: string | RegExp, ms?: number): Promise<string>;
  /** Resolves with how the peer ended it: FIN, or RST. */
  ended: Promise<End>;
  reset(): void;
  halfClose(): void;
  /** Stops reading: the peer's bytes pile up. */
  stall(): void;
}

/** Wraps a socket, dialled or accepted; the accepted ones of test/kit/upstream.ts come as these, too. */
export function wrap(socket: Socket): RawClient {
  socket.on("error", () => {});
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  const received = (): string => text;
  const ended = new Promise<End>((resolve) => {
    // Node reports a RST right behind the last bytes as an end, but then the kernel knows no peer any more.
    socket.once("end", () => resolve(socket.remoteAddress === undefined && !socket.destroyed ? "rst" : "fin"));
    socket.once("close", (hadError) => resolve(hadError ? "rst" : "fin"));
  });
  return {
    socket,
    received,
    ended,
    send: (bytes) => void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    readUntil: async (wanted, ms) => {
      const there = (): boolean => (typeof wanted === "string" ? received().includes(wanted) : wanted.test(received()));
      await until(there, () => `${String(wanted)} in ${JSON.stringify(received().slice(-300))}`, ms);
      return received();
    },
    reset: () => void socket.resetAndDestroy(),
    halfClose: () => void socket.end(),
    stall: () => void socket.pause(),
  };
}

/** Connects to a port on loopback; rejects at once when nobody listens there. The connection is ended with the test. */
export async function dial(port: number, host = "127.0.0.1"): Promise<RawClient> {
  const socket = connect({ port, host, allowHalfOpen: true });
  atEnd(() => void socket.destroy());
  const client = wrap(socket);
  await within(once(socket, "connect"), `connect to ${port}`);
  return client;
}

/**
 * Is this HTTP message complete? `end` is how its connection ended, for a body that only that delimits; a request
 * without framing has no body.
 */
export function isWhole(message: string, end?: End): boolean {
  const bodyAt = message.indexOf("\r\n\r\n") + 4;
  if (bodyAt < 4) return false;
  const fields = message.slice(0, bodyAt);
  if (/^transfer-encoding: *chunked/im.test(fields)) return message.endsWith("\r\n0\r\n\r\n");
  const length = /^content-length: *(\d+)/im.exec(fields)?.[1];
  if (length !== undefined) return message.length - bodyAt === Number(length);
  return message.startsWith("HTTP/") ? end === "fin" : true;
}

/** The bytes of a request head. */
export function head(line: string, ...fields: string[]): string {
  return `${[line, ...fields].join("\r\n")}\r\n\r\n`;
}

/** The bytes of an upgrade to a WebSocket. */
export function upgrade(path = "/mux", ...fields: string[]): string {
  return head(
    `GET ${path} HTTP/1.1`,
    "Host: localhost",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...fields,
  );
}
