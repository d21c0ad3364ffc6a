// One accepted connection: guarded from the first moment, used by one exchange at a time, in the order of its requests.
// Made by listener.ts for each socket.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Client, Occupant } from "../core/client.ts";
import type { FailureCode, How } from "../core/errors.ts";
import { cut, guard, type Fate } from "../core/sockets.ts";
import type { ClientLimits } from "./client-limits.ts";
import type { TrustedPeers } from "./trusted-peers.ts";

// A client that pipelines more than this is not read from until it has its answers.
const MAX_PIPELINED = 16;

/** Has this request a body, whole or not? */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** The peer's address for logs and X-Forwarded-For. */
function addressOf(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

/** Who hears of a connection. */
export interface ConnectionListener {
  onClosed(connection: Connection): void;
}

// On the socket itself, and the listeners are the same for all (as in core/sockets.ts).
const CONNECTION: unique symbol = Symbol("connection");
type ClientSocket = Socket & { [CONNECTION]?: Connection };
// What node's HTTP server keeps on a socket: it stops its parser while `_paused`, and without it begins to read again
// behind every request (lib/_http_server.js and _http_incoming.js, Node 20 to 26).
type HttpSocket = Socket & { _paused?: boolean; parser?: { resume(): void } | null };

/** The connection of an accepted socket; undefined before one was made. */
export function connectionOf(socket: ClientSocket): Connection | undefined {
  return socket[CONNECTION];
}

/** One accepted connection. */
export class Connection implements Client {
  readonly socket: Socket;
  readonly fate: Fate;
  readonly address: string;
  readonly trusted: boolean;
  /** Its bytes broke HTTP; said once its turn comes. */
  broken: FailureCode | undefined;
  /** How long its client may take; undefined when it was turned away. */
  limits: ClientLimits | undefined;
  /** The last request that node found on it. */
  request: IncomingMessage | undefined;
  busy = false;
  /** The exchange whose turn it is. */
  occupant: Occupant | undefined;
  /** When it was accepted, or its last answer was out. */
  idleSince: number = performance.now();
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
    // Not the response's `drain`: node stops forwarding it when an upgrade was pipelined behind the response.
    socket.on("drain", socketOnDrain);
  }

  /** Its client sent FIN. */
  onEnd(): void {
    this.occupant?.onClientGone(this.fate.how ?? "fin");
  }

  /** Its client left while nothing was read from it. */
  onDeparted(how: How): void {
    this.occupant?.onClientGone(how);
    cut(this.socket);
  }

  /** Its socket has closed. */
  onClose(): void {
    this.#turns = undefined;
    this.limits?.stop();
    // It did nothing, so we have closed: it owed the rest of an upload, and its idle connection was kept long enough.
    this.occupant?.onClientGone(this.fate.how ?? "timeout");
    this.#listener.onClosed(this);
  }

  occupy(occupant: Occupant): void {
    this.occupant = occupant;
  }

  release(occupant: Occupant): void {
    if (this.occupant === occupant) this.occupant = undefined;
  }

  /** Tells the occupant that the request broke; false when there is none whose request it was. */
  brokeOccupant(code: FailureCode): boolean {
    return this.occupant?.onClientBroke(code) ?? false;
  }

  /** Is it in the middle of the body of a request that has been answered? */
  get owesBody(): boolean {
    return this.request?.complete === false;
  }

  /** Has it begun the head of another request? */
  get isInHead(): boolean {
    return !this.busy && this.socket.bytesRead > this.#idleAt;
  }

  /** Is nothing in flight on it, in either direction? Its write side stands, so the next request could be answered. */
  get isIdle(): boolean {
    // An upload goes on behind an early answer: then the turn is over, and the exchange is not.
    return !this.busy && !this.occupant && !this.isInHead && !this.isEnded;
  }

  /** What comes from now on is the head of another request, unless a body is owed: behind an early answer that comes first. */
  beginRest(): void {
    this.#idleAt = this.owesBody ? Infinity : this.socket.bytesRead;
  }

  /** Have we ended its write side? What its client asks now cannot be answered any more. */
  get isEnded(): boolean {
    return this.socket.destroyed || this.socket.writableEnded;
  }

  /**
   * Runs when all earlier exchanges of this connection are over. Node hands out pipelined requests at once; answers
   * have to stay in order, and an upgrade must not take the socket from under an answer (RFC 9112 9.3.2).
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
   * Is this request kept as bytes until its turn comes? What waits behind it in the same read then costs no more than
   * its bytes, either. A body is never parsed before its turn: it could be thousands of pieces that nobody takes.
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

  readOn(): void {
    const socket: HttpSocket = this.socket;
    if (!socket._paused) return;
    socket._paused = false;
    this.limits?.onReadOn();
    socket.parser?.resume();
    socket.resume();
  }

  /**
   * Reads again, once node's parser has let go of the socket. For a body that nobody takes yet the parser stops the
   * system's handle, and goes on by a listener that an upgrade in the same read removes; the stream then believes that a
   * read is under way, and `resume()` does nothing. `_read` asks the handle itself.
   */
  readAgain(): void {
    const socket: HttpSocket = this.socket;
    socket._paused = false;
    socket.resume();
    socket._read(0);
  }

  /** The exchange whose turn it was is over. Returns false when none follows. */
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
