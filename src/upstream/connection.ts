// One connection to an upstream, and whoever uses it at the moment: a call, or the pool.
// Made by upstream.ts. Its listeners stay from dial to close, so a request on a pooled connection adds none.

import { closeSync, openSync } from "node:fs";
import { connect, isIPv6, type NetConnectOpts, type Socket } from "node:net";
import { devNull, networkInterfaces } from "node:os";
import { codeOf } from "../core/errors.ts";
import { guard, hasNews, type Fate } from "../core/sockets.ts";
import { onceBytesTo } from "./once.ts";

/** Who hears what happens on a connection. One at a time. */
export interface ConnectionUser {
  /** `chunk` is only lent: it is overwritten by the next read of any connection. */
  onData(chunk: Buffer): void;
  /** It takes bytes again. */
  onDrain(): void;
  /** The upstream sent FIN: no bytes follow. */
  onFin(): void;
  onClosed(): void;
}

// Node would allocate 64 KiB for each read, and the collector would have to find out that they are free again.
const inbox = Buffer.allocUnsafeSlow(64 * 1024);

/** Begins to connect. Its socket says `data` as any other, but only lends the bytes. */
export function dial(options: NetConnectOpts): UpstreamConnection {
  const read = (size: number, bytes: Uint8Array): boolean => {
    socket.emit("data", (bytes as Buffer).subarray(0, size));
    return true;
  };
  const socket: Socket = connect({ ...options, onread: { buffer: inbox, callback: read } });
  return new UpstreamConnection(socket);
}

/**
 * The code of a failure to connect, where the system's own would mislead. To look up a name takes a descriptor as well,
 * and when there is none getaddrinfo says anything: that there is no such name (ENOTFOUND), that it is busy (EBUSY). An
 * address of IPv6 where there is none at all is not one that is used up (EADDRNOTAVAIL).
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

/** A connection that was dialled. */
export class UpstreamConnection {
  readonly socket: Socket;
  readonly fate: Fate;
  /** Was it used before, and how long was it idle since, in milliseconds? */
  reused = false;
  idleMs = 0;
  /** How often the upstream had refused connections before this one was made. */
  era = 0;
  #user: ConnectionUser | undefined;
  #onceBytes: number | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    this.fate = guard(socket);
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
  }

  /** From now on, what happens is told to `user`. */
  use(user: ConnectionUser | undefined): void {
    this.#user = user;
  }

  /** Can a request be sent and its answer be read? */
  get isUsable(): boolean {
    const { socket } = this;
    return !socket.destroyed && socket.readable && socket.writable && this.fate.how === undefined;
  }

  /**
   * Has the upstream said nothing, as far as the system knows? Node learns of a FIN in the next turn of the event loop
   * only. What is there is used up by the question: if it is not quiet, it has to be ended.
   */
  get isQuiet(): boolean {
    return !hasNews(this.socket);
  }

  /** How long a request may be that is sent only once, once this has been idle. */
  get onceBytes(): number {
    return (this.#onceBytes ??= onceBytesTo(this.socket.remoteAddress));
  }

  /** Hands over the bare socket, paused: it has become a tunnel's. What it says as `data` is lent. */
  detach(): Socket {
    const { socket } = this;
    this.#user = undefined;
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("drain", this.#onDrain);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onClose);
    return socket;
  }

  readonly #onData = (chunk: Buffer): void => this.#user?.onData(chunk);
  readonly #onDrain = (): void => this.#user?.onDrain();
  readonly #onEnd = (): void => this.#user?.onFin();
  readonly #onClose = (): void => this.#user?.onClosed();
}
