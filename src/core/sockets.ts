// The guard that every socket gets first, and the only ways a socket is ended.
// Whoever accepts or dials a socket calls guard() before any other statement; nobody else calls destroy().

import type { Socket } from "node:net";
import { codeOf, howOf, type How } from "./errors.ts";

/** What is known of how a socket's peer left; filled in by the guard, read when the exchange is accounted for. */
export interface Fate {
  /** Undefined while the peer is there. */
  how: How | undefined;
  /** The system's error code, when there was one. */
  code: string | undefined;
}

// On the socket itself, and the listeners are the same for all: a WeakMap costs the collector, closures cost memory, and
// thousands of sockets wait for weeks.
const FATE: unique symbol = Symbol("fate");
type Guarded = Socket & { [FATE]?: Fate };

/**
 * Makes a socket safe: its errors can never be uncaught, and how its peer left is remembered. Node only tells a
 * `close` listener that there was an error, not which one. Calling it again returns the same fate.
 */
export function guard(socket: Guarded): Fate {
  const known = socket[FATE];
  if (known) return known;
  const fate: Fate = { how: undefined, code: undefined };
  socket[FATE] = fate;
  socket.on("error", socketOnError);
  socket.on("end", socketOnEnd);
  return fate;
}

function socketOnError(this: Guarded, error: Error): void {
  const fate = guard(this);
  fate.how ??= howOf(error);
  fate.code ??= codeOf(error);
}

function socketOnEnd(this: Guarded): void {
  guard(this).how ??= isReset(this) ? "rst" : "fin";
}

/**
 * Was it a RST that node reports as an end? libuv does so for one that comes together with the last bytes (POLLHUP in
 * uv__stream_io). The kernel knows no peer of such a socket any more; nor after a FIN of ours, which tells nothing.
 * Node remembers `remoteAddress` once it was asked for, so its handle is asked: an internal of node, and where that is
 * missing (a unix socket has no such call either) the end is taken for the FIN that it looks like.
 */
export function isReset(socket: Socket): boolean {
  if (socket.destroyed || socket.writableEnded) return false;
  const { _handle: handle } = socket as { _handle?: { getpeername?(name: object): number } };
  return (handle?.getpeername?.({}) ?? 0) !== 0;
}

/** Ends a socket now. What was queued and not yet sent is lost; the peer sees a FIN, or a RST if it had sent more. */
export function cut(socket: Socket): void {
  socket.destroy();
}

/** Ends a socket with a RST: for a body that would look complete after a FIN (close-delimited, RFC 9112 6.3). */
export function reset(socket: Socket): void {
  const { writableEnded, writableLength, writableFinished } = socket;
  // A FIN is on its way, behind everything else. libuv refuses a RST then, and node forgets the handle, open as it is.
  if (writableEnded && writableLength === 0 && !writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}

/** Sends FIN after everything queued, then waits `graceMs` for the peer to close too, reading and dropping, and cuts. */
export function finish(socket: Socket, graceMs = 1000): void {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  const timer = setTimeout(cut, graceMs, socket);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}

/** After an answer, how long a client may be silent, and how long it may go on sending, before it is cut. */
const LINGER_SILENT_MS = 1000;
const LINGER_MS = 10_000;

/**
 * Sends FIN after an answer that was the last one, while its client may still be uploading: what arrives is read and
 * dropped, or the kernel's RST would overtake the answer (RFC 9112 9.6). Bounded in time; a client that closes ends it.
 */
export function linger(socket: Socket): void {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  const deadline = performance.now() + LINGER_MS;
  let read = socket.bytesRead;
  const timer = setInterval(() => {
    if (socket.bytesRead === read || performance.now() > deadline) cut(socket);
    read = socket.bytesRead;
  }, LINGER_SILENT_MS);
  timer.unref();
  socket.once("close", () => clearInterval(timer));
}
