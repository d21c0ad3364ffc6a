// One connection to an upstream, and its current user: a call, or the pool. Made by upstream.ts.
// The listeners stay from dial to close, so that a request on a pooled connection adds none.

import { closeSync, openSync } from "node:fs";
import { connect, isIPv6, type NetConnectOpts, type Socket } from "node:net";
import { devNull, networkInterfaces } from "node:os";
import { codeOf } from "../core/errors.ts";
import { guard, type Fate } from "../core/sockets.ts";
import { onceBytesTo } from "./once.ts";

/** The current user of a connection, which receives its events. There is one at a time. */
export interface ConnectionUser {
  /** `chunk` is borrowed: the next read of any upstream connection overwrites it. */
  onData(chunk: Buffer): void;
  /** The socket has room for more bytes. */
  onDrain(): void;
  /** The upstream sent FIN: no bytes follow. */
  onFin(): void;
  onClosed(): void;
}

// All upstream connections read into this buffer: node would allocate 64 KiB for each read, for the collector to free.
const inbox = Buffer.allocUnsafeSlow(64 * 1024);
/** What the last read has filled. The next read of the same size uses the same object: 5 % of the cost of an event. */
let filled = inbox.subarray(0, 0);

// The connection is a property of its socket, so that all sockets share the same listeners (why: core/sockets.ts).
const CONNECTION: unique symbol = Symbol("connection");
type DialledSocket = Socket & { [CONNECTION]?: UpstreamConnection | undefined };

/** Starts to connect. */
export function dial(options: NetConnectOpts): UpstreamConnection {
  const read = (size: number): boolean => {
    if (size !== filled.length) filled = inbox.subarray(0, size);
    const connection = socket[CONNECTION];
    // A call, not an event, which would be dearer. Only tunnels listen for events.
    if (connection) connection.user?.onData(filled);
    else socket.emit("data", filled);
    return true;
  };
  const socket: DialledSocket = connect({ ...options, onread: { buffer: inbox, callback: read } });
  return new UpstreamConnection(socket);
}

/**
 * The error code of a failed dial, corrected where the system's code misleads. getaddrinfo needs a descriptor; without
 * one it reports an unknown name (ENOTFOUND) or EBUSY: that becomes EMFILE. On a machine without IPv6, dialling an IPv6
 * address reports EADDRNOTAVAIL, which would mean that local ports are used up: that becomes EAFNOSUPPORT.
 */
export function dialCodeOf(error: NodeJS.ErrnoException & { address?: string }): string {
  if (error.syscall === "getaddrinfo" && !hasDescriptor()) return "EMFILE";
  const code = codeOf(error);
  return code === "EADDRNOTAVAIL" && isIPv6(error.address ?? "") && !hasIPv6() ? "EAFNOSUPPORT" : code;
}

function hasIPv6(): boolean {
  return Object.values(networkInterfaces()).some((some) => some?.some(({ family }) => family === "IPv6"));
}

function hasDescriptor(): boolean {
  try {
    closeSync(openSync(devNull, "r"));
    return true;
  } catch {
    return false;
  }
}

/** A connection to an upstream. */
export class UpstreamConnection {
  readonly socket: Socket;
  readonly fate: Fate;
  /** Did it come from the pool, and how long had it been idle there, in milliseconds? */
  reused = false;
  idleMs = 0;
  /** The upstream's era (Upstream.leaveConnections) in which this connection was made. */
  era = 0;
  /** The current user. */
  user: ConnectionUser | undefined;
  #onceBytes: number | undefined;

  constructor(socket: DialledSocket) {
    this.socket = socket;
    this.fate = guard(socket);
    socket[CONNECTION] = this;
    socket.on("drain", socketOnDrain);
    socket.on("end", socketOnEnd);
    socket.on("close", socketOnClose);
    socket.resume();
  }

  /** Can a request be sent, and its response be read? */
  get isUsable(): boolean {
    const { socket } = this;
    return !socket.destroyed && socket.readable && socket.writable && this.fate.how === undefined;
  }

  /** Max bytes of a request that may be sent only once, on this connection from the pool. */
  get onceBytes(): number {
    return (this.#onceBytes ??= onceBytesTo(this.socket.remoteAddress));
  }

  /** Returns the socket, paused, for a tunnel. From now on it emits 'data', with borrowed chunks. */
  detach(): Socket {
    const socket: DialledSocket = this.socket;
    this.user = undefined;
    // This connection would otherwise stay in memory as long as the tunnel lives.
    socket[CONNECTION] = undefined;
    socket.pause();
    socket.off("drain", socketOnDrain);
    socket.off("end", socketOnEnd);
    socket.off("close", socketOnClose);
    return socket;
  }
}

function socketOnDrain(this: DialledSocket): void {
  this[CONNECTION]?.user?.onDrain();
}

function socketOnEnd(this: DialledSocket): void {
  this[CONNECTION]?.user?.onFin();
}

function socketOnClose(this: DialledSocket): void {
  this[CONNECTION]?.user?.onClosed();
}
