// One accepted client connection. Exchanges use it one at a time, in the order of their requests.
// Made by listener.ts for each socket, which gets its error listener here before anything else.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Membership } from "../core/bag.ts";
import type { Client, Occupant } from "../core/client.ts";
import type { How, Failure } from "../core/errors.ts";
import { cut, guard, type Fate } from "../core/sockets.ts";
import type { ClientLimits } from "./client-limits.ts";
import type { TrustedPeers } from "./trusted-peers.ts";

// How many pipelined requests of a client are parsed ahead; further ones stay bytes until their turn (see defers).
const MAX_PIPELINED = 16;

/** Does the head announce a body? */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** The peer's address, for logs and X-Forwarded-For; without the ::ffff: of a mapped IPv4. */
function addressOf(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

/** Is told when a connection has closed. */
export interface ConnectionListener {
  onClosed(connection: Connection): void;
}

// The connection is a property of its socket, and all sockets share the same listeners (reasons in core/sockets.ts).
const CONNECTION: unique symbol = Symbol("connection");
type ClientSocket = Socket & { [CONNECTION]?: Connection };
// Internals that node's HTTP server keeps on a socket (lib/_http_server.js and _http_incoming.js, Node 20 to 26): while
// `_paused` is true, node neither resumes the socket after a request nor feeds the parser.
type HttpSocket = Socket & { _paused?: boolean; parser?: { resume(): void } | null };

/** The Connection of an accepted socket; undefined before it was made. */
export function connectionOf(socket: ClientSocket): Connection | undefined {
  return socket[CONNECTION];
}

/** One accepted connection. */
export class Connection implements Client {
  readonly socket: Socket;
  readonly fate: Fate;
  readonly address: string;
  readonly trusted: boolean;
  /** The client sent invalid bytes or was too late: the error that it gets once earlier requests are answered. */
  broken: Failure | undefined;
  /** Its place in the listener's count; undefined before it is counted, and once it has closed. */
  counted: Membership | undefined;
  /** The time limits; none for an upgrade, and when the connection was refused because of --max-connections. */
  limits: ClientLimits | undefined;
  /** The last request that node parsed on this connection. */
  request: IncomingMessage | undefined;
  /** Is there a current request? */
  busy = false;
  /** The current exchange. */
  occupant: Occupant | undefined;
  /** When the connection was accepted, or its last answer was complete. */
  idleSince: number = performance.now();
  /** Does an upgrade, or a deferred request, wait for its turn? Nothing is read before that. */
  #upgradeWaits = false;
  #idleAt = 0;
  #turns: (() => void)[] | undefined;
  readonly #listener: ConnectionListener;

  constructor(socket: ClientSocket, trusted: TrustedPeers, listener: ConnectionListener) {
    this.socket = socket;
    this.#listener = listener;
    socket[CONNECTION] = this;
    this.fate = guard(socket);
    this.address = addressOf(socket);
    this.trusted = trusted.has(this.address);
    socket.on("end", socketOnEnd);
    socket.on("close", socketOnClose);
    // Not the response's 'drain': node stops emitting that when an upgrade was pipelined behind the response.
    socket.on("drain", socketOnDrain);
  }

  /** The client sent FIN. */
  onEnd(): void {
    // Nothing is in flight, so one close(2) does what node's HTTP server would do by shutdown(2) and close(2).
    if (this.isIdle && !this.owesBody && this.socket.writableLength === 0) return cut(this.socket);
    this.occupant?.onClientGone(this.fate.how ?? "fin");
  }

  /** The client closed or reset while its socket was paused. */
  onDeparted(how: How): void {
    this.occupant?.onClientGone(how);
    cut(this.socket);
  }

  /** Stops all timers. */
  endLimits(): void {
    this.limits?.stop();
    // A tunnel may live for weeks.
    this.limits = undefined;
  }

  /** The socket has closed. */
  onClose(): void {
    this.#turns = undefined;
    this.endLimits();
    // Without a fate the client did nothing, so this proxy has closed: an upload behind an early answer stalled.
    this.occupant?.onClientGone(this.fate.how ?? "timeout");
    this.#listener.onClosed(this);
  }

  occupy(occupant: Occupant): void {
    this.occupant = occupant;
  }

  release(occupant: Occupant): void {
    if (this.occupant !== occupant) return;
    this.occupant = undefined;
    // An upload that was paused until the end would keep the next request, and the client's FIN, unread.
    this.readOn();
  }

  /** Tells the current exchange about invalid or late bytes; false when they do not belong to its request. */
  brokeOccupant(failure: Failure): boolean {
    return this.occupant?.onClientBroke(failure) ?? false;
  }

  /** Is the body of the last request incomplete? */
  get owesBody(): boolean {
    return this.request?.complete === false;
  }

  /** Has the client sent a part of the next head? */
  get isInHead(): boolean {
    return !this.busy && this.socket.bytesRead > this.#idleAt;
  }

  /** Is nothing in flight, in either direction, and could another request be answered? */
  get isIdle(): boolean {
    // Both are checked: after an early answer the connection is not busy, while its exchange still takes the upload.
    return !this.busy && !this.occupant && !this.isInHead && !this.isEnded;
  }

  /** Bytes from now on are the next head (see isInHead), unless the rest of a body comes first. */
  beginRest(): void {
    this.#idleAt = this.owesBody ? Infinity : this.socket.bytesRead;
  }

  /** Has this proxy sent FIN, or closed? Then a further request cannot be answered. */
  get isEnded(): boolean {
    return this.socket.destroyed || this.socket.writableEnded;
  }

  /**
   * Calls `run` when all earlier exchanges of this connection are over. Node emits pipelined requests at once, but
   * answers have to stay in order, and an upgrade must not take the socket while an answer is being sent (RFC 9112
   * 9.3.2).
   */
  takeTurn(run: () => void): void {
    if (!this.busy) {
      this.busy = true;
      return run();
    }
    this.#turns ??= [];
    this.#turns.push(run);
  }

  /**
   * Should this request be kept as bytes until its turn (http-server.ts)? Then it, and all that follows in the same
   * read, costs no more memory than its bytes. True behind MAX_PIPELINED requests, and for every body: a body that is
   * parsed early may become thousands of buffered pieces.
   */
  defers(req: IncomingMessage): boolean {
    return this.busy && ((this.#turns?.length ?? 0) >= MAX_PIPELINED || hasBody(req));
  }

  stopReading(): void {
    const socket: HttpSocket = this.socket;
    socket._paused = true;
    socket.pause();
    this.limits?.onUnread();
  }

  /**
   * Stops reading until `readAgain()`: what comes behind an upgrade belongs to it, and node has detached its parser.
   * The exchange in front of it may still call `stopReading` and `readOn`, which then change nothing.
   */
  awaitUpgrade(): void {
    this.#upgradeWaits = true;
    this.socket.pause();
    // Otherwise its turn comes at once.
    if (this.busy) this.limits?.onUnread();
  }

  readOn(): void {
    const socket: HttpSocket = this.socket;
    if (!socket._paused) return;
    socket._paused = false;
    // Not resumed: the handle of such a socket stands still (see readAgain), so the client's FIN would never be seen.
    // The checks of a socket that is not read go on, and see it.
    if (this.#upgradeWaits) return;
    this.limits?.onReadOn();
    socket.parser?.resume();
    socket.resume();
  }

  /**
   * Resumes the socket after node's parser was detached from it (an upgrade). When a body is not consumed, the parser
   * stops the handle itself, and would start it again from a listener; an upgrade in the same read removes that
   * listener. The stream then believes that it is reading, and resume() does nothing. `_read(0)` starts the handle.
   */
  readAgain(): void {
    const socket: HttpSocket = this.socket;
    this.#upgradeWaits = false;
    socket._paused = false;
    this.limits?.onReadOn();
    socket.resume();
    socket._read(0);
  }

  /** The current exchange is over: starts the next one. Returns false when none waits. */
  nextTurn(): boolean {
    const run = this.#turns?.shift();
    this.busy = run !== undefined;
    if (!this.owesBody) this.request = undefined;
    if (!run) {
      this.idleSince = performance.now();
      this.beginRest();
      this.limits?.onRest();
      return false;
    }
    run();
    return true;
  }
}

function socketOnEnd(this: ClientSocket): void {
  this[CONNECTION]?.onEnd();
}

function socketOnDrain(this: ClientSocket): void {
  this[CONNECTION]?.occupant?.onClientDrain();
}

function socketOnClose(this: ClientSocket): void {
  this[CONNECTION]?.onClose();
}
