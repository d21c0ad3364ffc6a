// Faces the clients: accepts, guards every socket before anything else, and hands out requests and upgrades one at a
// time per connection. Built by proxy.ts, which gives it its handlers; it never knows where a request goes.

import { ServerResponse, type IncomingMessage, type Server } from "node:http";
import { Server as NetServer, Socket, type BlockList } from "node:net";
import type { Client } from "../core/client.ts";
import { codeOf, Failure, howOf, type FailureCode, type How } from "../core/errors.ts";
import { nextId } from "../core/outcome.ts";
import { refuseSocket } from "./refuse.ts";
import { cut, finish, linger } from "../core/sockets.ts";
import type { Clock } from "../core/timer.ts";
import { ClientLimits, type ClientJudge, type ClientTimes } from "./client-limits.ts";
import { Connection, connectionOf, type ConnectionListener } from "./connection.ts";
import { endIdle } from "./idle.ts";
import { createHttpServer, deferRequests, type ServerLimits } from "./http-server.ts";
import { TrustedPeers } from "./trusted-peers.ts";

/** Limits of the client's side, in milliseconds and bytes. */
export interface ListenerOptions extends ServerLimits, ClientTimes {
  maxConnections: number;
  /** Whose X-Forwarded-* fields are believed. */
  trusted: BlockList;
}

/** What becomes of what the clients ask for. */
export interface Handlers {
  request(req: IncomingMessage, res: ServerResponse, client: Client): void;
  /** `res` writes to the bare socket until the handler detaches it; `early` is what came behind the head. */
  upgrade(req: IncomingMessage, res: ServerResponse, client: Client, early: Buffer): void;
  /** Does this upgrade get to `upgrade`, or is it a plain request? */
  isUpgrade(req: IncomingMessage): boolean;
  /**
   * A connection was refused, or broke off, outside of any exchange. `brokeOff` says how the client did; without a
   * failure nobody could be told.
   */
  refused(failure: Failure | undefined, id: string, brokeOff?: How): void;
  /** A request came on a connection whose write side we had ended already, for this reason: it is not begun. */
  tooLate(req: IncomingMessage, why: How): void;
}

/** Node would time idle connections with it; client-limits.ts does. */
function socketSetTimeout(this: Socket): Socket {
  return this;
}

function socketDestroySoon(this: Socket): void {
  linger(this);
}

/**
 * Node's HTTP server ends a socket when its client's FIN arrives, behind our own FIN once more. A stream answers that
 * with an error that nobody gets, and the stack trace in it took 6% of a short connection.
 */
function socketEnd(this: Socket, ...args: [last?: Uint8Array | string]): Socket {
  return this.writableEnded && args.length === 0 ? this : Socket.prototype.end.apply(this, args as [string]);
}

/** The public port. */
export class Listener implements ConnectionListener, ClientJudge {
  readonly server: Server;
  readonly #options: ListenerOptions;
  readonly #handlers: Handlers;
  readonly #clock: Clock;
  readonly #trusted: TrustedPeers;
  readonly #connections = new Set<Connection>();
  readonly #ignoredUpgrades = new WeakSet<IncomingMessage>();
  readonly #deferred = new WeakSet<IncomingMessage>();
  #turnedAway = 0;
  #stopping = false;

  constructor(options: ListenerOptions, handlers: Handlers, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#handlers = handlers;
    this.#trusted = new TrustedPeers(options.trusted);
    this.server = createHttpServer(options, (req) => this.#takesUpgrade(req));
    this.server.prependListener("connection", (socket: Socket) => this.#onConnection(socket));
    this.server.on("connection", (socket: Socket) => this.#onServed(socket));
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => this.#onRequest(req, res);
    this.server.on("request", onRequest);
    // The upstream decides about Expect (RFC 9110 10.1.1), so node must not answer it.
    this.server.on("checkContinue", onRequest);
    this.server.on("checkExpectation", onRequest);
    this.server.on("upgrade", (req, socket, early) => this.#onUpgrade(req, socket as Socket, early));
    this.server.on("connect", (req, socket, early) => this.#onUpgrade(req, socket as Socket, early));
    this.server.on("clientError", (error, socket) => this.#onClientError(error, socket as Socket));
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Takes no more connections. http's own close() would also destroy the idle ones, with requests on their way. */
  close(): void {
    NetServer.prototype.close.call(this.server);
  }

  /**
   * From now on every answer is the last one of its connection, and says so: that is how the clients of idle connections
   * are told, too, and no request of theirs is lost. Those that ask nothing are ended by endIdle().
   */
  stop(): void {
    this.#stopping = true;
  }

  /** Ends the connections that have been idle for `idleMs` milliseconds; resolves when all of them have their FIN. */
  endIdle(idleMs: number): Promise<void> {
    return endIdle(this.#connections, idleMs);
  }

  /** Ends every connection now. */
  abandon(): void {
    for (const { socket } of this.#connections) cut(socket);
    // It also stops the timer with which http would look for late heads.
    this.server.close();
  }

  /** The connection of a socket that was let in and has not closed. */
  #connectionOf(socket: Socket): Connection | undefined {
    const connection = connectionOf(socket);
    return connection && this.#connections.has(connection) ? connection : undefined;
  }

  #onConnection(socket: Socket): void {
    // An upgrade that was put back as a plain request comes by a second time.
    if (connectionOf(socket)) return;
    const connection = new Connection(socket, this.#trusted, this);
    // It was reset before it was accepted, and what it sent can be read all the same: from whom, and whether to believe
    // that, nobody can say any more. On a unix socket there is no address to be lost.
    if (connection.address === "" && hasPort(this.server)) return cut(socket);
    this.#connections.add(connection);
    // How node ends a connection after its last answer; its own way is to close at once.
    socket.destroySoon = socketDestroySoon;
    socket.end = socketEnd as Socket["end"];
    socket.setTimeout = socketSetTimeout;
    if (this.#connections.size - this.#turnedAway <= this.#options.maxConnections) {
      connection.limits = new ClientLimits(this.#clock, this.#options, connection, this);
      return;
    }
    // One that was turned away and does not leave takes nobody's place.
    this.#turnedAway += 1;
    socket.once("close", () => (this.#turnedAway -= 1));
    connection.busy = true;
    this.#refuse(connection, "too_many");
  }

  /** Node's server has begun to read a connection. */
  #onServed(socket: Socket): void {
    const connection = this.#connectionOf(socket);
    if (!connection) return;
    deferRequests(socket, (req) => {
      const defers = connection.defers(req);
      if (defers) this.#deferred.add(req);
      return defers;
    });
  }

  onClosed(connection: Connection): void {
    this.#connections.delete(connection);
  }

  #refuse(connection: Connection, code: FailureCode, brokeOff?: How): void {
    const failure = new Failure(code);
    const id = nextId();
    connection.broken = code;
    refuseSocket(connection.socket, failure, id);
    this.#handlers.refused(failure, id, brokeOff);
  }

  #onRequest(req: IncomingMessage, res: ServerResponse): void {
    const connection = this.#connectionOf(req.socket);
    if (!connection) return;
    // It was turned away before it asked: what it sends has to be read all the same.
    if (connection.broken) return void req.resume();
    if (connection.isEnded) return this.#tooLate(req, connection);
    connection.request = req;
    connection.limits?.onHead();
    connection.takeTurn(() => {
      res.once("close", () => this.#onTurnOver(connection));
      if (this.#stopping || this.#ignoredUpgrades.has(req)) res.shouldKeepAlive = false;
      this.#handlers.request(req, res, connection);
    });
  }

  #onTurnOver(connection: Connection): void {
    const { socket } = connection;
    // An answer that said `Connection: close` was the last one: what was pipelined behind it must not be done, its
    // client would never hear of it, and behind a refused request it may be no request at all (RFC 9112 9.6).
    if (connection.isEnded || connection.nextTurn()) return;
    if (connection.broken && connection.owesBody) linger(socket);
    else if (connection.broken) this.#refuse(connection, connection.broken);
  }

  /**
   * Its answer could not be delivered. A client that finds its connection ended may send the request again, and counts
   * on it that it was not done (RFC 9112 9.3.1, 9.6).
   */
  #tooLate(req: IncomingMessage, { socket }: Connection): void {
    // Its body is read and dropped with the rest of what comes, until the client closes (core/sockets.ts).
    req.resume();
    if (!socket.destroyed) this.#handlers.tooLate(req, this.#stopping ? "drain" : "limit");
  }

  /**
   * Is this one node should hand to #onUpgrade? With a body it is refused as the request it also is: node 26 would give
   * it a stream of its own in place of the socket.
   */
  #takesUpgrade(req: IncomingMessage): boolean {
    const { "transfer-encoding": coding, "content-length": length = "0" } = req.headers;
    const takes = this.#handlers.isUpgrade(req) && coding === undefined && Number(length) === 0;
    // Node drops what came in one piece behind such a request; what follows could begin in the middle of another.
    if (!takes) this.#ignoredUpgrades.add(req);
    return takes;
  }

  #onUpgrade(req: IncomingMessage, socket: Socket, early: Buffer): void {
    const connection = this.#connectionOf(socket);
    if (!connection) return cut(socket);
    if (connection.broken) return void socket.resume();
    if (connection.isEnded) {
      // Node reads nothing of an upgrade's socket itself.
      socket.resume();
      return this.#tooLate(req, connection);
    }
    const kept = keep(socket, early);
    connection.limits?.onUnread();
    connection.takeTurn(() => {
      connection.limits?.onReadOn();
      const bytes = kept();
      if (this.#deferred.has(req)) return this.#putBack(req, connection, bytes);
      if (req.method !== "CONNECT" && !this.#handlers.isUpgrade(req))
        return this.#putBack(req, connection, bytes, "upgrade");
      connection.limits?.stop();
      // Nothing reads the socket now, so a client that leaves would not be noticed: what it sends early is kept.
      connection.readAgain();
      const res = new ServerResponse(req);
      res.shouldKeepAlive = false;
      res.assignSocket(socket);
      res.once("finish", () => linger(socket));
      this.#handlers.upgrade(req, res, connection, bytes);
    });
  }

  /**
   * Node has let go of the connection: the request is written back and the connection begins anew. That is how one that
   * was deferred is served, and an upgrade that is none for us as the plain request it also is (RFC 9110 7.8). The latter
   * loses its Upgrade field; only Node before 22.21 needs it.
   */
  #putBack(req: IncomingMessage, connection: Connection, early: Buffer, without?: string): void {
    let head = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`;
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      const name = req.rawHeaders[i] ?? "";
      if (name.toLowerCase() !== without) head += `${name}: ${req.rawHeaders[i + 1]}\r\n`;
    }
    connection.busy = false;
    // Node adds these again, and takes away all others by itself.
    connection.socket.removeAllListeners("pause").removeAllListeners("resume");
    connection.socket.unshift(Buffer.concat([Buffer.from(`${head}\r\n`, "latin1"), early]));
    this.server.emit("connection", connection.socket);
    connection.readAgain();
  }

  /** What its client sends is no request, or comes too slowly. */
  #onBroken(connection: Connection, code: FailureCode, brokeOff?: How): void {
    connection.broken = code;
    // Earlier requests of this connection get their answers first.
    if (connection.brokeOccupant(code) || connection.busy) return;
    // A second answer to the same request would be taken for the answer to the next.
    if (connection.owesBody) linger(connection.socket);
    else this.#refuse(connection, code, brokeOff);
  }

  onLate(connection: Connection): void {
    if (connection.broken === undefined && !connection.isEnded) this.#onBroken(connection, "request_timeout");
  }

  onIdle(connection: Connection): void {
    if (connection.owesBody) linger(connection.socket);
    else if (connection.isIdle) finish(connection.socket);
  }

  #onClientError(error: Error, socket: Socket): void {
    const connection = this.#connectionOf(socket);
    if (!connection) return cut(socket);
    // Node's parser reports every further chunk of a connection it has given up.
    if (connection.broken !== undefined) return;
    const code = failureOf(error);
    if (!code) {
      if (connection.isInHead) this.#handlers.refused(undefined, nextId(), connection.fate.how ?? howOf(error));
      return cut(socket);
    }
    this.#onBroken(connection, code, codeOf(error) === "HPE_INVALID_EOF_STATE" ? "fin" : undefined);
  }
}

/**
 * Keeps what comes on a socket that waits for its turn; returns the function that ends it and hands over all of it. Not
 * by a pause alone: when an answer in front has been sent, node lets its sockets flow again, and nobody would listen.
 */
function keep(socket: Socket, first: Buffer): () => Buffer {
  const chunks = [first];
  const onData = (chunk: Buffer): void => {
    // Its turn will not come: what arrives is dropped, up to the client's end.
    if (socket.writableEnded) return;
    chunks.push(chunk);
    socket.pause();
  };
  socket.pause();
  socket.on("data", onData);
  return () => {
    socket.off("data", onData);
    return chunks.length === 1 ? first : Buffer.concat(chunks);
  };
}

function hasPort(server: Server): boolean {
  const address = server.address();
  return address !== null && typeof address === "object";
}

/** What a client is told when its bytes do not make a request; undefined when it cannot be told anything. */
function failureOf(error: Error): FailureCode | undefined {
  switch (codeOf(error)) {
    case "HPE_HEADER_OVERFLOW":
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return "header_too_large";
    default:
      return howOf(error) === "protocol" ? "bad_request" : undefined;
  }
}
