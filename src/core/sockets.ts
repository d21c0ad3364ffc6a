// The error listener that every socket gets first, and the only functions that end a socket.
// Code that accepts or dials a socket calls guard() before any other statement. No other file calls destroy().

import type { Socket } from "node:net";
import { Bag, type Membership } from "./bag.ts";
import { codeOf, howOf, type How } from "./errors.ts";

/** How the peer of a socket left. Filled in by the listeners of guard(), read when the exchange ends. */
export interface Fate {
  /** Undefined while the peer is there. */
  how: How | undefined;
  /** The system's error code, when there was one. */
  code: string | undefined;
}

// The fate is a property of the socket, and all sockets share the same listeners: a WeakMap would slow the garbage
// collector, and closures for each socket would cost memory, with thousands of sockets open for weeks.
const FATE: unique symbol = Symbol("fate");
type Guarded = Socket & { [FATE]?: Fate };

/**
 * Attaches an error listener, so that an error of the socket is never uncaught, and records how the peer left: node
 * tells a 'close' listener only that there was an error, not which. Calling it again returns the same fate.
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
 * Was the 'end' of this socket a RST? libuv reports a RST that comes together with the last bytes as an end (POLLHUP in
 * uv__stream_io). After a RST getpeername(2) fails. It also fails after a FIN of ours, so then this returns false. Node
 * caches `remoteAddress`, so the handle is asked: an internal of node. Where the handle has no such function (a unix
 * socket, another version) the end counts as a FIN.
 */
export function isReset(socket: Socket): boolean {
  if (socket.destroyed || socket.writableEnded) return false;
  const { _handle: handle } = socket as { _handle?: { getpeername?(name: object): number } };
  return (handle?.getpeername?.({}) ?? 0) !== 0;
}

/**
 * Closes a socket now. Queued bytes are lost. The peer sees a FIN, or a RST if it had sent bytes that were not read.
 */
export function cut(socket: Socket): void {
  socket.destroy();
}

/**
 * Closes a socket with a RST: for a broken close-delimited body, which would look complete after a FIN (RFC 9112 6.3).
 */
export function reset(socket: Socket): void {
  const { writableEnded, writableLength, writableFinished } = socket;
  // While a FIN is being sent, libuv refuses a RST and node would drop the handle without closing it.
  if (writableEnded && writableLength === 0 && !writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}

/**
 * Half-closes: sends FIN after everything queued. Then discards what the peer sends, and closes the socket when the
 * peer has not closed within `graceMs`.
 */
export function finish(socket: Socket, graceMs = 1000): void {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  // Not at once: after a pause of this process the timer fires before the bytes that have arrived are read, and closing
  // with unread bytes makes the kernel send a RST.
  const timer = setTimeout(() => setImmediate(cut, socket), graceMs);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}

/** Time between two looks at all sockets that linger, in milliseconds. */
const LINGER_LOOK_MS = 250;
/**
 * After its last answer a client is cut when so many looks in a row have seen no byte of it (a second), or after so
 * many in all (ten seconds). Looks are counted, not time: after a pause of this process the first look comes before the
 * bytes that have arrived are read.
 */
const LINGER_SILENT_LOOKS = 4;
const LINGER_LOOKS = 40;

/** A socket that lingers. */
interface Lingering {
  readonly socket: Socket;
  /** The bytes it had sent at the last look. */
  read: number;
  looks: number;
  /** Looks in a row that have seen no byte. */
  silent: number;
}

// One timer for all of them, and not an interval with its closures for each.
const lingering = new Bag<Lingering>();
let looks: NodeJS.Timeout | undefined;
const LINGERS: unique symbol = Symbol("lingers");
type LingeringSocket = Socket & { [LINGERS]?: Membership };

/**
 * Half-closes after the last answer of a connection, while the client may still be uploading. What arrives is read and
 * discarded: closing with unread bytes makes the kernel send a RST, which can destroy the answer before the client has
 * read it (RFC 9112 9.6). Ends when the client closes, or after the times above.
 */
export function linger(socket: LingeringSocket): void {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  if (socket[LINGERS]) return;
  socket[LINGERS] = lingering.add({ socket, read: socket.bytesRead, looks: 0, silent: 0 });
  socket.on("close", socketOnLingered);
  looks ??= setInterval(lookAtLingering, LINGER_LOOK_MS).unref();
}

function socketOnLingered(this: LingeringSocket): void {
  this[LINGERS]?.leave();
}

function lookAtLingering(): void {
  lingering.forEach((one) => {
    const { bytesRead } = one.socket;
    one.silent = bytesRead === one.read ? one.silent + 1 : 0;
    one.read = bytesRead;
    one.looks += 1;
    if (one.silent >= LINGER_SILENT_LOOKS || one.looks >= LINGER_LOOKS) cut(one.socket);
  });
  if (lingering.size > 0) return;
  clearInterval(looks);
  looks = undefined;
}
