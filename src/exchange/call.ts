// One request on one upstream connection, and its response. Made by exchange.ts for each attempt.
// It decides nothing but whether the connection can be used again; what an ending means is the exchange's.

import type { Socket } from "node:net";
import type { How } from "../core/errors.ts";
import type { Proof } from "../core/outcome.ts";
import { cut, finish } from "../core/sockets.ts";
import type { ConnectionUser, UpstreamConnection } from "../upstream/connection.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { RequestBody } from "./request-body.ts";
import { Trial } from "./trial.ts";
import { ResponseParser, type ResponseListener } from "../http/response-parser.ts";

/** Who made the call. After `onBroken` or `onOver` it hears no more of it. */
export interface Caller extends ResponseListener {
  /** What came in one piece has been handed over. */
  onRead(): void;
  /**
   * The connection broke, or what came is no response (`protocol`) or too much of one (`limit`), before the response
   * was complete.
   *
   * @param stale did what came in front of any response belong to an earlier one on the same connection?
   * @param proof how it is known that the upstream did not get the request.
   */
  onBroken(how: How, code: string, stale: boolean, proof: Proof | undefined): void;
  /** The upstream takes bytes again. */
  onUpstreamDrain(): void;
  /** The response is complete, and the connection is given back, or closed. */
  onOver(): void;
}

/** What a call has to know of its request. */
export interface Called {
  /** Decides whether the response has a body. */
  readonly method: string;
  /** Is it the last one of its connection? */
  readonly isLast: boolean;
  /** May it be sent only once? */
  readonly once: boolean;
}

/** What is left of a request that was answered early has this long to be taken. */
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
   * @param maxHeadBytes of the response.
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
    connection.use(this);
  }

  /** Where the request is written to. */
  get socket(): Socket {
    return this.#connection.socket;
  }

  /** Did any byte of a response come, an interim one included? */
  get responded(): boolean {
    return this.#parser.began;
  }

  /** Has all of the response come? */
  get complete(): boolean {
    return this.#parser.complete;
  }

  get over(): boolean {
    return this.#over;
  }

  /**
   * Writes the request: its head, and of its body what there is: all of it, if it may be sent only once and the
   * connection was used before.
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
    // What has come of the body already goes out in one write with the head.
    socket.cork();
    socket.write(head, "latin1");
    body.sendTo(socket);
    process.nextTick(() => socket.uncork());
    if (body.complete) this.requestSent();
  }

  /** All of the request has been written. */
  requestSent(): void {
    this.#sent = true;
    if (!this.complete || this.#over) return;
    // It answered before it had the request. Does it read the rest? If not, the next request would stand behind that.
    // If it does, it gets all of it: some may still wait here.
    this.#over = true;
    this.#parser.stop();
    this.#connection.use(undefined);
    finish(this.#connection.socket, REST_MS);
    this.#caller.onOver();
  }

  /** Ends it, with its connection: nobody wants the rest. */
  abandon(): void {
    if (!this.#over) this.#cut();
  }

  /** The head of its response has come. */
  answered(now: number): void {
    this.#upstream.answered(this.#connection, now);
  }

  /** A 101 has come: the connection is the tunnel's now. */
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
    // It answered early and reads on, perhaps; if it does not, its close or reset follows.
    if (this.complete) return;
    if (this.#trial && !this.responded) {
      return this.#trial.fin((isReset) => this.#break(isReset ? "rst" : "fin", fate.code));
    }
    // A RST behind the last bytes can look like an end (core/sockets.ts). It completes nothing.
    if (fate.how !== "fin" || !this.#parser.finish()) return this.#break(fate.how ?? "fin", fate.code);
    this.#end();
  }

  onClosed(): void {
    const { fate } = this.#connection;
    if (!this.complete) return this.#break(fate.how ?? "fin", fate.code);
    this.#over = true;
    this.#caller.onOver();
  }

  /** The response is complete. While the request is not, the rest of it goes up as long as somebody reads it. */
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
    // A server sent more than its last response had. Not to this request: its own answer has not begun.
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
    this.#connection.use(undefined);
    cut(this.#connection.socket);
  }
}
