// The public port: accepts connections, attaches an error listener to each socket before anything else, and passes
// requests and upgrades to its handlers, one at a time for each connection. Made by proxy/proxy.ts. Does not route.

import { ServerResponse, type IncomingMessage, type Server } from "node:http";
import { Server as NetServer, Socket, type BlockList } from "node:net";
import { Bag } from "../core/bag.ts";
import type { Client } from "../core/client.ts";
import { codeOf, Failure, howOf, type How } from "../core/errors.ts";
import { nextId } from "../core/outcome.ts";
import { refuseSocket } from "./refuse.ts";
import { cut, finish, linger } from "../core/sockets.ts";
import type { Clock } from "../core/timer.ts";
import { ClientLimits, type ClientJudge, type ClientTimes } from "./client-limits.ts";
import { Connection, connectionOf, type ConnectionListener } from "./connection.ts";
import { endIdle } from "./idle.ts";
import { createHttpServer, deferRequests, type ServerLimits } from "./http-server.ts";
import { failureOf } from "./parser-failure.ts";
import { TrustedPeers } from "./trusted-peers.ts";

/** Limits on the client side, in milliseconds and bytes. */
export interface ListenerOptions extends ServerLimits, ClientTimes {
  maxConnections: number;
  /** Peers whose X-Forwarded-* fields are believed. */
  trusted: BlockList;
}

/** What the listener calls. */
export interface Handlers {
  request(req: IncomingMessage, res: ServerResponse, client: Client): void;
  /** `res` writes to the socket until the handler detaches it. `early` are the bytes that came behind the head. */
  upgrade(req: IncomingMessage, res: ServerResponse, client: Client, early: Buffer): void;
  /** Should this request go to `upgrade`? If not, it goes to `request`, without its Upgrade field. */
  isUpgrade(req: IncomingMessage): boolean;
  /**
   * A connection was refused, or the client broke off in the middle of a head, outside of any exchange.
   *
   * @param failure what the client was told; undefined when it could not be told anything.
   * @param brokeOff how the client left, if it did.
   */
  refused(failure: Failure | undefined, id: string, client: Client, brokeOff?: How): void;
  /** A request came after this proxy had sent FIN on the connection, for the reason `why`. It is not forwarded. */
  tooLate(req: IncomingMessage, client: Client, why: How): void;
}

/** Replaces socket.setTimeout: node's HTTP server would set idle timeouts, which are client-limits.ts's. */
function socketSetTimeout(this: Socket): Socket {
  return this;
}

/** Replaces socket.destroySoon, with which node's HTTP server closes at once after the last answer. */
function socketDestroySoon(this: Socket): void {
  linger(this);
}

/**
 * Replaces socket.end. Node's HTTP server calls it when the client's FIN arrives, even after this side has sent FIN or
 * closed. The stream then makes an error that is never used, and its stack trace took 6% of the time of a short
 * connection.
 */
function socketEnd(this: Socket, ...args: [last?: Uint8Array | string]): Socket {
  return (this.writableEnded || this.destroyed) && args.length === 0
    ? this
    : Socket.prototype.end.apply(this, args as [string]);
}

/** The public port. */
export class Listener implements ConnectionListener, ClientJudge {
  readonly server: Server;
  readonly #options: ListenerOptions;
  readonly #handlers: Handlers;
  readonly #clock: Clock;
  readonly #trusted: TrustedPeers;
  readonly #connections = new Bag<Connection>();
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

  /** Stops listening. Not http's close(), which would also destroy idle connections, with requests on their way. */
  close(): void {
    NetServer.prototype.close.call(this.server);
  }

  /**
   * From now on every answer is the last one of its connection, and says `Connection: close`. So a client on an idle
   * connection learns it with its next answer, and loses no request. endIdle() closes connections that stay idle.
   */
  stop(): void {
    this.#stopping = true;
  }

  /** Sends FIN on the connections that have been idle for `idleMs` milliseconds; resolves when that is done. */
  endIdle(idleMs: number): Promise<void> {
    return endIdle(this.#connections.members(), idleMs);
  }

  /** Closes every connection now. */
  abandon(): void {
    this.#connections.forEach(({ socket }) => cut(socket));
    // http's close() also stops its interval that checks for late heads.
    this.server.close();
  }

  /** The connection of a socket that was accepted and has not closed. */
  #connectionOf(socket: Socket): Connection | undefined {
    const connection = connectionOf(socket);
    return connection?.counted ? connection : undefined;
  }

  #onConnection(socket: Socket): void {
    // #putBack emits 'connection' again for a socket that has its Connection already.
    if (connectionOf(socket)) return;
    const connection = new Connection(socket, this.#trusted, this);
    // A client that was reset in the accept queue has no address any more, although its bytes can still be read.
    // Without an address it is unknown whether to trust its fields, so it is dropped. Unix sockets never have an
    // address.
    if (connection.address === "" && hasPort(this.server)) return cut(socket);
    connection.counted = this.#connections.add(connection);
    socket.destroySoon = socketDestroySoon;
    socket.end = socketEnd as Socket["end"];
    socket.setTimeout = socketSetTimeout;
    if (this.#connections.size - this.#turnedAway <= this.#options.maxConnections) {
      connection.limits = new ClientLimits(this.#clock, this.#options, connection, this);
      return;
    }
    // Refused connections that stay open do not count towards --max-connections.
    this.#turnedAway += 1;
    socket.once("close", () => (this.#turnedAway -= 1));
    connection.busy = true;
    this.#refuse(connection, new Failure("too_many"));
  }

  /** Node's HTTP server has attached its parser to a connection. */
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
    connection.counted?.leave();
    connection.counted = undefined;
  }

  #refuse(connection: Connection, failure: Failure, brokeOff?: How): void {
    const id = nextId();
    connection.broken = failure;
    refuseSocket(connection.socket, failure, id);
    this.#handlers.refused(failure, id, connection, brokeOff);
  }

  #onRequest(req: IncomingMessage, res: ServerResponse): void {
    const connection = this.#connectionOf(req.socket);
    if (!connection) return;
    // The connection was refused before this request came. Its bytes are read and discarded (see linger).
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
    // After an answer with `Connection: close` pipelined requests are not begun: they could not be answered, and behind
    // a refused request the bytes may not be a request at all (RFC 9112 9.6).
    if (connection.isEnded || connection.nextTurn()) return;
    if (connection.broken && connection.owesBody) linger(socket);
    else if (connection.broken) this.#refuse(connection, connection.broken);
  }

  /**
   * Drops a request that came after our FIN: its answer could not be delivered. A client that finds its connection
   * closed may send the request again, and relies on it that the request was not acted on (RFC 9112 9.3.1, 9.6).
   */
  #tooLate(req: IncomingMessage, connection: Connection): void {
    // The body is read and discarded, like all that still comes (see linger in core/sockets.ts).
    req.resume();
    if (!connection.socket.destroyed) this.#handlers.tooLate(req, connection, this.#stopping ? "drain" : "limit");
  }

  /**
   * Should node emit 'upgrade' for this request? Not for one with a body, which the router refuses: node 26 would pass
   * another stream in place of the socket.
   */
  #takesUpgrade(req: IncomingMessage): boolean {
    const { "transfer-encoding": coding, "content-length": length = "0" } = req.headers;
    const takes = this.#handlers.isUpgrade(req) && coding === undefined && Number(length) === 0;
    // Node discards the bytes that came in the same read behind an upgrade it ignores. What follows could begin in the
    // middle of a request, so the connection is closed after this answer (#onRequest).
    if (!takes) this.#ignoredUpgrades.add(req);
    return takes;
  }

  #onUpgrade(req: IncomingMessage, socket: Socket, early: Buffer): void {
    const connection = this.#connectionOf(socket);
    if (!connection) return cut(socket);
    if (connection.broken) return void socket.resume();
    if (connection.isEnded) {
      // After 'upgrade' node reads nothing from the socket by itself.
      socket.resume();
      return this.#tooLate(req, connection);
    }
    connection.awaitUpgrade();
    const kept = keep(socket, early);
    connection.takeTurn(() => {
      const bytes = kept();
      if (this.#deferred.has(req)) return this.#putBack(req, connection, bytes);
      if (req.method !== "CONNECT" && !this.#handlers.isUpgrade(req))
        return this.#putBack(req, connection, bytes, "upgrade");
      connection.endLimits();
      // Without reading, a client that leaves would not be noticed. Bytes that come early are kept for the tunnel.
      connection.readAgain();
      const res = new ServerResponse(req);
      res.shouldKeepAlive = false;
      res.assignSocket(socket);
      res.once("finish", () => linger(socket));
      this.#handlers.upgrade(req, res, connection, bytes);
    });
  }

  /**
   * Gives a request, for which node has detached its parser, back to node's HTTP server: pushes its head and the bytes
   * behind it back into the socket, and emits 'connection' again. For deferred requests, and (only on Node before
   * 22.21) for upgrades that are served as plain requests; those lose their Upgrade field (RFC 9110 7.8).
   *
   * @param without a field to leave out.
   */
  #putBack(req: IncomingMessage, connection: Connection, early: Buffer, without?: string): void {
    let head = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`;
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      const name = req.rawHeaders[i] ?? "";
      if (name.toLowerCase() !== without) head += `${name}: ${req.rawHeaders[i + 1]}\r\n`;
    }
    connection.busy = false;
    // Node adds these listeners a second time; all others it has removed by itself.
    connection.socket.removeAllListeners("pause").removeAllListeners("resume");
    connection.socket.unshift(Buffer.concat([Buffer.from(`${head}\r\n`, "latin1"), early]));
    this.server.emit("connection", connection.socket);
    connection.readAgain();
  }

  /** The client sent bytes that are not valid HTTP, or was too slow. */
  #onBroken(connection: Connection, failure: Failure, brokeOff?: How): void {
    connection.broken = failure;
    // Earlier requests of this connection get their answers first.
    if (connection.brokeOccupant(failure) || connection.busy) return;
    // The request was answered already: a second answer would be taken for the answer to the next request.
    if (connection.owesBody) linger(connection.socket);
    else this.#refuse(connection, failure, brokeOff);
  }

  onLate(connection: Connection): void {
    if (connection.broken === undefined && !connection.isEnded)
      this.#onBroken(connection, new Failure("request_timeout"));
  }

  onIdle(connection: Connection): void {
    if (connection.owesBody) linger(connection.socket);
    else if (connection.isIdle) finish(connection.socket);
  }

  #onClientError(error: Error, socket: Socket): void {
    const connection = this.#connectionOf(socket);
    if (!connection) return cut(socket);
    // Node's parser emits an error for every further chunk after the first.
    if (connection.broken !== undefined) return;
    const failure = failureOf(error);
    if (!failure) {
      if (connection.isInHead)
        this.#handlers.refused(undefined, nextId(), connection, connection.fate.how ?? howOf(error));
      return cut(socket);
    }
    this.#onBroken(connection, failure, codeOf(error) === "HPE_INVALID_EOF_STATE" ? "fin" : undefined);
  }
}

/**
 * Buffers what comes on the socket of an upgrade that waits for its turn; returns the function that ends this and
 * returns the bytes. Pausing is not enough: after sending an earlier answer node resumes the socket, and the bytes
 * would be lost.
 */
function keep(socket: Socket, first: Buffer): () => Buffer {
  const chunks = [first];
  const onData = (chunk: Buffer): void => {
    // This side has sent FIN, so the turn will not come: discard.
    if (socket.writableEnded) return;
    chunks.push(chunk);
    socket.pause();
  };
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
