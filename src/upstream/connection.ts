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

/** Starts to connect. */
export function dial(options: NetConnectOpts): UpstreamConnection {
  const read = (size: number): boolean => {
    if (size !== filled.length) filled = inbox.subarray(0, size);
    connection.received(filled);
    return true;
  };
  const connection: UpstreamConnection = new UpstreamConnection(
    connect({ ...options, onread: { buffer: inbox, callback: read } }),
  );
  return connection;
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
  /** The upstream's era (Upstream.refused) in which this connection was made. */
  era = 0;
  #user: ConnectionUser | undefined;
  #detached = false;
  #onceBytes: number | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    this.fate = guard(socket);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
    socket.resume();
  }

  /** Bytes have come, which are borrowed. The user gets them without an event, which is dearer than a call. */
  received(chunk: Buffer): void {
    if (this.#detached) this.socket.emit("data", chunk);
    else this.#user?.onData(chunk);
  }

  /** Makes `user` the current user; undefined for none. */
  use(user: ConnectionUser | undefined): void {
    this.#user = user;
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
    const { socket } = this;
    this.#user = undefined;
    this.#detached = true;
    socket.pause();
    socket.off("drain", this.#onDrain);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onClose);
    return socket;
  }

  readonly #onDrain = (): void => this.#user?.onDrain();
  readonly #onEnd = (): void => this.#user?.onFin();
  readonly #onClose = (): void => this.#user?.onClosed();
}
