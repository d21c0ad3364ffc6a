// One attempt: one request on one upstream connection, and its response. Made by exchange.ts for each attempt.
// Decides only whether the connection goes back to the pool. exchange.ts decides what the end of an attempt means.

import type { Socket } from "node:net";
import type { How } from "../core/errors.ts";
import type { Proof } from "../core/outcome.ts";
import { cut, finish } from "../core/sockets.ts";
import type { ConnectionUser, UpstreamConnection } from "../upstream/connection.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { RequestBody } from "./request-body.ts";
import { Trial } from "./trial.ts";
import { ResponseParser, type ResponseListener } from "../http/response-parser.ts";

/**
 * Receives the parts of the response, and how the attempt ended. After `onBroken` or `onOver` nothing more is called.
 */
export interface Caller extends ResponseListener {
  /** All parts of the response in the last chunk have been passed on. */
  onRead(): void;
  /**
   * The attempt failed before the response was complete: the connection broke, or the bytes were no valid response
   * (`protocol`) or more than the limits allow (`limit`).
   *
   * @param stale did the bytes belong to an earlier response on the same connection?
   * @param proof how it is known that the upstream did not get the request; undefined when that is not known.
   */
  onBroken(how: How, code: string, stale: boolean, proof: Proof | undefined): void;
  /** The upstream's socket has room for more bytes ('drain'). */
  onUpstreamDrain(): void;
  /** The response is complete, and the connection went back to the pool or was closed. */
  onOver(): void;
}

/** What a call knows of its request. */
export interface Called {
  /** The method; decides whether the response has a body. */
  readonly method: string;
  /** Must the connection be closed after this request? */
  readonly isLast: boolean;
  /** May the request be sent only once (a POST or PATCH without Idempotency-Key)? */
  readonly once: boolean;
}

/** After an early answer, the upstream may take this long for the rest of the request, in milliseconds. */
const REST_MS = 10_000;

/** A call in progress. */
export class Call implements ConnectionUser {
  readonly #upstream: Upstream;
  readonly #connection: UpstreamConnection;
  readonly #caller: Caller;
  readonly #parser: ResponseParser;
  readonly #request: Called;
  #trial: Trial | undefined;
  #sent = false;
  #over = false;

  /**
   * @param maxHeadBytes limit for the response's head and trailers.
   */
  constructor(
    upstream: Upstream,
    connection: UpstreamConnection,
    caller: Caller,
    request: Called,
    maxHeadBytes: number,
  ) {
    this.#upstream = upstream;
    this.#connection = connection;
    this.#caller = caller;
    this.#request = request;
    this.#parser = new ResponseParser(caller, request.method, maxHeadBytes);
    connection.user = this;
  }

  /** The upstream's socket. */
  get socket(): Socket {
    return this.#connection.socket;
  }

  /** Has any byte of a response come, of an interim one included? */
  get responded(): boolean {
    return this.#parser.began;
  }

  /** Is the response complete? */
  get complete(): boolean {
    return this.#parser.complete;
  }

  /** Does the next byte of the response begin a chunk? */
  get isAtChunk(): boolean {
    return this.#parser.isAtChunk;
  }

  get over(): boolean {
    return this.#over;
  }

  /**
   * Writes the head, and those bytes of the body that have come. On a reused connection, a request that may be sent
   * only once has its whole body by now (sending.ts), and goes out in one write (trial.ts).
   */
  send(head: string, body: RequestBody | undefined): void {
    const { socket } = this;
    if (this.#request.once && this.#connection.reused) {
      this.#trial = new Trial(socket);
      this.#trial.send(head, body);
      return this.requestSent();
    }
    if (!body) {
      socket.write(head, "latin1");
      return this.requestSent();
    }
    // Corked, so that head and body go out in one write.
    socket.cork();
    socket.write(head, "latin1");
    body.sendTo(socket);
    process.nextTick(() => socket.uncork());
    if (body.complete) this.requestSent();
  }

  /** The whole request has been written. */
  requestSent(): void {
    this.#sent = true;
    if (!this.complete || this.#over) return;
    // The upstream answered before it had the whole request. It may never read the rest, and the next request on this
    // connection would stand behind that: so half-close the connection, and let the upstream read what it wants.
    this.#over = true;
    this.#parser.stop();
    this.#connection.user = undefined;
    finish(this.#connection.socket, REST_MS);
    this.#caller.onOver();
  }

  /** Gives the connection's events to `first`, which passes on to this call what it does not take. */
  follow(first: ConnectionUser): void {
    this.#connection.user = first;
  }

  /** Aborts the attempt, and closes its connection. */
  abandon(): void {
    if (!this.#over) this.#cut();
  }

  /** The response's head has come. */
  answered(now: number): void {
    this.#upstream.answered(this.#connection, now);
  }

  /** A 101 has come: returns the socket, for a tunnel. */
  detach(): Socket {
    this.#over = true;
    return this.#connection.detach();
  }

  onData(chunk: Buffer): void {
    if (!this.#parser.push(chunk)) return this.#notAResponse();
    if (this.#over) return;
    this.#caller.onRead();
    if (this.complete) this.#end();
  }

  onDrain(): void {
    this.#caller.onUpstreamDrain();
  }

  onFin(): void {
    const { fate } = this.#connection;
    // The upstream answered early and half-closed. It may read on; if not, its close or reset follows.
    if (this.complete) return;
    if (this.#trial && !this.responded) {
      return this.#trial.fin((isReset) => this.#break(isReset ? "rst" : "fin", fate.code));
    }
    // A RST behind the last bytes can look like a FIN (core/sockets.ts). Only a FIN completes a close-delimited body.
    if (fate.how !== "fin" || !this.#parser.finish()) return this.#break(fate.how ?? "fin", fate.code);
    this.#end();
  }

  onClosed(): void {
    const { fate } = this.#connection;
    if (!this.complete) return this.#break(fate.how ?? "fin", fate.code);
    this.#over = true;
    this.#caller.onOver();
  }

  /** The response is complete. While the request is not, the call goes on, and sends the rest of it. */
  #end(): void {
    const { keepAliveMs, isReusable, surplus } = this.#parser;
    if (this.#over || (!this.#sent && !surplus)) return;
    if (this.#sent && isReusable && !this.#request.isLast) {
      this.#over = true;
      this.#upstream.putBack(this.#connection, keepAliveMs);
    } else this.#cut();
    this.#caller.onOver();
  }

  #notAResponse(): void {
    const { tooLarge, answered } = this.#parser;
    if (tooLarge) this.#break("limit", "header_too_large");
    // Invalid bytes in front of any head on a reused connection: the rest of an earlier response that was too long.
    else this.#break("protocol", "bad_response", this.#connection.reused && !answered);
  }

  #break(how: How, code = "ECONNRESET", stale = false): void {
    const { reused } = this.#connection;
    if (reused && how !== "limit" && !this.#parser.answered) this.#upstream.brokeUnanswered();
    this.#cut();
    this.#caller.onBroken(how, code, stale, this.#trial?.proof(this.responded));
  }

  #cut(): void {
    this.#over = true;
    this.#trial?.stop();
    this.#parser.stop();
    this.#connection.user = undefined;
    cut(this.#connection.socket);
  }
}
