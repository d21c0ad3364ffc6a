// Sends one response to the client: head, body and trailers, through node's ServerResponse.
// Made by exchange.ts when the upstream's response head has come. Never ends a connection.

import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { writeLent, writeLentChunk } from "../core/lent.ts";
import type { Clock } from "../core/timer.ts";
import { passTrailers } from "../http/fields.ts";
import { interimHead, toClient, type ResponseHead } from "../http/response-head.ts";
import type { Call } from "./call.ts";
import { EventRelay, type Relayed } from "./event-relay.ts";

/** A body up to this size goes into one string with its head, and into one write; in bytes. */
const SMALL = 16 * 1024;

/** The request that is answered. */
interface Asked {
  method: string;
  /** The client's HTTP version. */
  version: string;
  /** Should the connection close after this response? */
  closes: boolean;
}

/** The response to one client. The head goes out with the first bytes of the body, or with `flushHead`. */
export class Answer {
  /** Is the end of the body marked by the end of the connection only (RFC 9112 6.3)? */
  readonly closeDelimited: boolean;
  readonly #res: ServerResponse;
  readonly #clock: Clock;
  readonly #chunked: boolean;
  #bytes = 0;
  #lastByte: number;
  /** The short way of an event stream. */
  #relay: EventRelay | undefined;
  #headSent = false;
  /** The client's socket, once node has written the head: further pieces bypass the ServerResponse. */
  #behindHead: Socket | undefined;
  /** Was a piece of the body written by the ServerResponse? */
  #passing = false;

  /** @throws when node refuses to write such a head. */
  constructor(res: ServerResponse, head: ResponseHead, asked: Asked, clock: Clock) {
    this.#res = res;
    this.#clock = clock;
    this.#lastByte = clock.now;
    const { status, framing } = head;
    const bodiless = asked.method === "HEAD" || status === 204 || status === 304;
    const chunkable = asked.version === "1.1";
    this.closeDelimited = !chunkable && !bodiless && framing !== "length";
    if (asked.closes || this.closeDelimited) res.shouldKeepAlive = false;
    // Removing the field before the head is written makes node end the body by closing, not by a last chunk.
    if (this.closeDelimited) res.removeHeader("transfer-encoding");
    const fields = toClient(head, chunkable, bodiless);
    // A 426 has to name the protocol in Upgrade (RFC 9110 15.5.22), and Upgrade in Connection, which node would set.
    if (status === 426 && chunkable && head.upgrade !== "") {
      fields.push("Upgrade", head.upgrade, "Connection", res.shouldKeepAlive ? "Upgrade" : "Upgrade, close");
    }
    res.writeHead(status, head.reason, fields);
    this.#chunked = res.chunkedEncoding;
  }

  /** Bytes of the body so far. */
  get bytes(): number {
    return this.#bytes + (this.#relay?.bytes ?? 0);
  }

  /** When the last byte came from the upstream, by the shared clock. */
  get lastByte(): number {
    return Math.max(this.#lastByte, this.#relay?.lastByte ?? -Infinity);
  }

  /** Do bytes wait because the client does not take them? */
  get blocked(): boolean {
    // Asks the socket: when an upgrade was pipelined behind, node does not emit 'drain' on the response.
    return this.#res.socket?.writableNeedDrain ?? this.#res.writableNeedDrain;
  }

  /** Has the kernel taken the whole response? */
  get finished(): boolean {
    return this.#res.writableFinished;
  }

  /** Sends the head if it is still unsent: the head of an event stream must not wait for the first event. */
  flushHead(): void {
    if (this.#headSent) return;
    this.#headSent = true;
    // Not flushHeaders(): node would encode the head as UTF-8, which changes every byte above 0x7f.
    this.#res.write("", "latin1");
    this.#behindHead = this.#res.socket ?? undefined;
  }

  /** Lets the whole chunks of an event stream that come from now on go past this answer, if its head has gone. */
  shorten(call: Call, owner: Relayed): void {
    if (this.#relay || !this.#chunked || !this.#behindHead) return;
    this.#relay = new EventRelay(this.#behindHead, this.#clock, call, owner);
    call.follow(this.#relay);
  }

  /** Writes everything that waits, the head included, unless the client has gone. */
  flush(): void {
    const { socket } = this.#res;
    if (!socket?.writable) return;
    this.flushHead();
    // Node has corked the socket until the next tick (Node 26 the response, too). A reset before that would drop the
    // corked bytes.
    if (this.#res.writableCorked > 0) this.#res.uncork();
    while (socket.writableCorked > 0) socket.uncork();
  }

  /**
   * Writes a piece of the body, which is borrowed. Returns false when the caller should wait for the client's 'drain'.
   */
  write(piece: Buffer): boolean {
    this.#lastByte = this.#clock.now;
    this.#bytes += piece.length;
    // Directly to the socket: node would cork it until the next tick and gather four parts, a quarter of an event's
    // cost.
    if (this.#behindHead)
      return this.#chunked ? writeLentChunk(this.#behindHead, piece) : writeLent(this.#behindHead, piece);
    const flows = this.#writeThroughNode(piece);
    if (!this.#passing) process.nextTick(this.#onHeadWritten);
    this.#passing = true;
    return flows;
  }

  /** Node 26 buffers the head, and bytes behind it, until the next tick. Further pieces must not bypass them before. */
  readonly #onHeadWritten = (): void => {
    this.#behindHead = this.#res.socket ?? undefined;
  };

  /** Writes by the ServerResponse, which puts the head in front. */
  #writeThroughNode(piece: Buffer): boolean {
    this.#headSent = true;
    return writeLent(this.#res, piece);
  }

  /** Ends the body, with its last piece if there is one. */
  end(last: Buffer | undefined, trailers: readonly string[]): void {
    this.#lastByte = this.#clock.now;
    this.#bytes += last?.length ?? 0;
    const res = this.#res;
    if (trailers.length > 0 && this.#chunked) res.addTrailers(passTrailers(trailers));
    if (!last) res.end();
    else if (this.#headSent || last.length > SMALL) {
      this.#writeThroughNode(last);
      res.end();
    } else this.#endAtOnce(last.toString("latin1"));
    this.#headSent = true;
  }

  /** Sends head and body as one string, in one write; node would add an empty one and gather them. */
  #endAtOnce(body: string): void {
    const res = this.#res;
    if (!this.#chunked) {
      res.write(body, "latin1");
      // That write has corked the socket until the next tick.
      res.socket?.uncork();
      res.end();
    } else res.end(body, "latin1");
  }
}

/** Passes a 1xx on. Not for HTTP/1.0 clients, which do not know them (RFC 9110 15.2). */
export function passInterim(res: ServerResponse, socket: Socket, head: ResponseHead): void {
  if (head.status === 100) res.writeContinue();
  else socket.write(interimHead(head), "latin1");
}
