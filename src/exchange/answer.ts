// The client's side of one response: its head, body and trailers, through node's ServerResponse.
// Made by exchange.ts when a response head has come. It never ends a connection.

import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { writeLent, writeLentChunk } from "../core/lent.ts";
import { passTrailers } from "../http/fields.ts";
import { interimHead, toClient, type ResponseHead } from "../http/response-head.ts";

/** A body up to this size goes into one string with its head, and into one write; in bytes. */
const SMALL = 16 * 1024;

/** Begins nothing by itself: the head goes out with the first bytes of the body, or with `flushHead`. */
export class Answer {
  /** Bytes of the body. */
  bytes = 0;
  /** Does nothing but a FIN say that the body is complete? */
  readonly closeDelimited: boolean;
  readonly #res: ServerResponse;
  readonly #chunked: boolean;
  #headSent = false;
  /** Where the body goes once node has written the head. */
  #behindHead: Socket | undefined;
  /** Has a piece gone through node? */
  #passing = false;

  /**
   * @param version the client's.
   * @param closes does the connection close behind it?
   * @throws when node would not write such a head.
   */
  constructor(res: ServerResponse, head: ResponseHead, about: { method: string; version: string; closes: boolean }) {
    this.#res = res;
    const { status, framing } = head;
    const bodiless = about.method === "HEAD" || status === 204 || status === 304;
    const chunkable = about.version === "1.1";
    this.closeDelimited = !chunkable && !bodiless && framing !== "length";
    if (about.closes || this.closeDelimited) res.shouldKeepAlive = false;
    // Said before the head is written, this makes node end the body with the connection and not with a chunk.
    if (this.closeDelimited) res.removeHeader("transfer-encoding");
    const fields = toClient(head, chunkable, bodiless);
    // Which protocol is wanted is the point of a 426 (RFC 9110 15.5.22). Node must not name the connection then.
    if (status === 426 && chunkable && head.upgrade !== "") {
      fields.push("Upgrade", head.upgrade, "Connection", res.shouldKeepAlive ? "Upgrade" : "Upgrade, close");
    }
    res.writeHead(status, head.reason, fields);
    this.#chunked = res.chunkedEncoding;
  }

  /** Does the client not take what is there for it? */
  get blocked(): boolean {
    // Behind an upgrade node does not tell the response that its socket has drained.
    return this.#res.socket?.writableNeedDrain ?? this.#res.writableNeedDrain;
  }

  /** Is all of it with the system? */
  get finished(): boolean {
    return this.#res.writableFinished;
  }

  /** Sends the head if it has not gone: an event stream's must not wait for the first event. */
  flushHead(): void {
    if (this.#headSent) return;
    this.#headSent = true;
    // Node's flushHeaders() would send it as UTF-8, which changes every byte above 0x7f.
    this.#res.write("", "latin1");
    this.#behindHead = this.#res.socket ?? undefined;
  }

  /** Hands everything to the system, the head included, unless the client has gone. */
  flush(): void {
    const { socket } = this.#res;
    if (!socket?.writable) return;
    this.flushHead();
    // Node has corked the socket until the next tick, and a reset would drop what waits there.
    while (socket.writableCorked > 0) socket.uncork();
  }

  /** Returns whether the client takes more. `piece` is only lent. */
  write(piece: Buffer): boolean {
    this.bytes += piece.length;
    // Node would hold the piece back until the next tick, and gather it from four parts: a quarter of the cost of an event.
    if (this.#behindHead)
      return this.#chunked ? writeLentChunk(this.#behindHead, piece) : writeLent(this.#behindHead, piece);
    const flows = this.#writeThroughNode(piece);
    if (!this.#passing) process.nextTick(this.#onHeadWritten);
    this.#passing = true;
    return flows;
  }

  /** Node 26 holds the head and what was written behind it until the next tick: nothing may go past them before. */
  readonly #onHeadWritten = (): void => {
    this.#behindHead = this.#res.socket ?? undefined;
  };

  /** In one write with the head in front of it, or with the end behind it. */
  #writeThroughNode(piece: Buffer): boolean {
    this.#headSent = true;
    return writeLent(this.#res, piece);
  }

  end(last: Buffer | undefined, trailers: readonly string[]): void {
    const res = this.#res;
    if (trailers.length > 0 && this.#chunked) res.addTrailers(passTrailers(trailers));
    if (!last) res.end();
    else if (this.#headSent || last.length > SMALL) {
      this.bytes += last.length;
      this.#writeThroughNode(last);
      res.end();
    } else {
      this.bytes += last.length;
      this.#endAtOnce(last.toString("latin1"));
    }
    this.#headSent = true;
  }

  /** Head and body in one string are one write; node alone would add an empty one, and gather them. */
  #endAtOnce(body: string): void {
    const res = this.#res;
    if (!this.#chunked) {
      res.write(body, "latin1");
      // Corked by that write until the next tick.
      res.socket?.uncork();
      res.end();
    } else res.end(body, "latin1");
  }
}

/** Passes a 1xx on. HTTP/1.0 clients do not know them (RFC 9110 15.2). */
export function passInterim(res: ServerResponse, socket: Socket, head: ResponseHead): void {
  if (head.status === 100) res.writeContinue();
  else socket.write(interimHead(head), "latin1");
}
