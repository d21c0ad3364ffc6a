// Parses one response from an upstream's bytes, in chunks of any size: heads, body, trailers (RFC 9112). Fed by
// exchange/call.ts; knows no socket. Stricter than node's parser where readers differ: CRLF only, one framing only.

import { ChunkLine } from "./chunk-line.ts";
import { EMPTY_LINE, PartialHead } from "./partial-head.ts";
import { announcesBody, isClean, readFields, readResponseHead, type ResponseHead } from "./response-head.ts";

/** Receives the parts of a response. */
export interface ResponseListener {
  /** A 1xx other than 101; any number of them before the head. */
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead): void;
  onBody(piece: Buffer): void;
  /** The response is complete. `last` is the last piece of the body, when it was known in time to be the last. */
  onComplete(last: Buffer | undefined, trailers: string[]): void;
  /** A 101 came. What follows is another protocol; `early` are its first bytes. */
  onSwitched(head: ResponseHead, early: Buffer): void;
}

// States: what the next byte belongs to.
/** A head, or an empty line in front of it. */
const BEFORE_HEAD = 0;
const BEFORE_HEAD_LF = 1;
const HEAD = 2;
const LENGTH = 3;
const UNTIL_CLOSE = 4;
/** The line between two chunks (chunk-line.ts). */
const CHUNK_LINE = 5;
const CHUNK_DATA = 6;
const TRAILERS = 7;
/** Nothing: the response is complete, was a 101, was given up, or is invalid. */
const OVER = 8;

const CR = 13;
const LF = 10;
/** Limit of all empty lines in front of heads, in bytes. */
const MAX_EMPTY_BYTES = 64;
const CRLF = Buffer.from("\r\n");

/** The parser of one response. */
export class ResponseParser {
  /** Has the whole final response been read? */
  complete = false;
  /** Did the upstream send bytes behind the response? */
  surplus = false;
  /** Has anything been read, other than empty lines? */
  began = false;
  /** Has a head been read, of an interim response or of the final one? */
  answered = false;
  /** Was the response refused because its head or trailers exceed the limit? */
  tooLarge = false;
  readonly #listener: ResponseListener;
  readonly #headMethod: boolean;
  readonly #maxHeadBytes: number;
  #state = BEFORE_HEAD;
  #persists = false;
  #keepAliveMs: number | undefined;
  /** The bytes so far of an incomplete head or of incomplete trailers. */
  #partial: PartialHead | undefined;
  /** Bytes of the body, or of this chunk, that have not come yet. */
  #left = 0;
  #line: ChunkLine | undefined;
  #emptyBytes = 0;
  /** A piece of the body that is kept until the bytes behind it are parsed: it may be the last (see onComplete). */
  #piece: Buffer | undefined;

  /**
   * @param method the request's: an answer to HEAD has no body.
   * @param maxHeadBytes limit for each head, and for the trailers.
   */
  constructor(listener: ResponseListener, method: string, maxHeadBytes: number) {
    this.#listener = listener;
    this.#headMethod = method === "HEAD";
    this.#maxHeadBytes = maxHeadBytes;
  }

  /** May another request be sent on the connection? */
  get isReusable(): boolean {
    return this.complete && !this.surplus && this.#persists;
  }

  /** `Keep-Alive: timeout` of the response, in milliseconds. */
  get keepAliveMs(): number | undefined {
    return this.#keepAliveMs;
  }

  /** Does the next byte begin a chunk of a chunked body? */
  get isAtChunk(): boolean {
    return this.#state === CHUNK_LINE && (this.#line?.isAtStart ?? true);
  }

  /** Stops calling the listener. */
  stop(): void {
    this.#state = OVER;
    this.#piece = undefined;
  }

  /** Parses a chunk, which is borrowed (valid until this returns). False when it is no valid response. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === OVER) {
        this.surplus = true;
        break;
      }
      at = this.#step(chunk, at);
      if (at < 0) {
        // The valid bytes in front of the fault are passed on, as if the fault had come in a later chunk.
        this.#handOver();
        this.stop();
        return false;
      }
    }
    this.#handOver();
    return true;
  }

  /** The upstream has half-closed or closed. True if that completes the response (close-delimited). */
  finish(): boolean {
    if (this.#state !== UNTIL_CLOSE) return false;
    this.#complete([]);
    return true;
  }

  /** Parses from `at` on; returns the offset behind what was parsed, or -1 when it is invalid. */
  #step(chunk: Buffer, at: number): number {
    switch (this.#state) {
      case BEFORE_HEAD:
      case BEFORE_HEAD_LF:
        return this.#emptyLine(chunk, at);
      case HEAD:
        return this.#readHead(chunk, at);
      case LENGTH:
      case UNTIL_CLOSE:
      case CHUNK_DATA:
        return this.#body(chunk, at);
      case TRAILERS:
        return this.#trailers(chunk, at);
      default:
        return this.#chunkLine(chunk, at);
    }
  }

  /**
   * Skips empty lines in front of a head, as other parsers do: some servers send one CRLF too many after a body or a
   * 100.
   */
  #emptyLine(chunk: Buffer, at: number): number {
    if (this.#state === BEFORE_HEAD && chunk[at] !== CR) {
      this.began = true;
      this.#state = HEAD;
      return at;
    }
    const isCr = this.#state === BEFORE_HEAD;
    this.#state = isCr ? BEFORE_HEAD_LF : BEFORE_HEAD;
    return (isCr || chunk[at] === LF) && ++this.#emptyBytes <= MAX_EMPTY_BYTES ? at + 1 : -1;
  }

  /** Collects bytes up to an empty line. Returns the text in front of it, or undefined while it has not come. */
  #collect(chunk: Buffer, at: number): { text: string; next: number } | undefined {
    if (this.#partial) {
      const found = this.#partial.add(chunk, at);
      if (found) this.#partial = undefined;
      return found;
    }
    const end = chunk.indexOf(EMPTY_LINE, at);
    if (end >= 0) return { text: chunk.toString("latin1", at, end), next: end + EMPTY_LINE.length };
    this.#partial = new PartialHead(chunk.subarray(at));
    return undefined;
  }

  #readHead(chunk: Buffer, at: number): number {
    const found = this.#collect(chunk, at);
    if (!found) return this.#isPlausible() ? chunk.length : -1;
    const head = this.#fits(found.text.length) ? readResponseHead(found.text) : undefined;
    if (!head) return -1;
    this.answered = true;
    if (head.status === 101) {
      this.#state = OVER;
      this.#listener.onSwitched(head, chunk.subarray(found.next));
      return chunk.length;
    }
    if (head.status < 200) {
      this.#state = BEFORE_HEAD;
      this.#listener.onInterim(head);
      return found.next;
    }
    const { status, framing, length } = head;
    const bodiless = this.#headMethod || status === 204 || status === 304;
    // A server that treats HEAD as GET sends the announced body after all. If the connection were reused, that body
    // would be parsed as the next response.
    this.#persists = head.persistent && (bodiless ? !announcesBody(head) : framing !== "close");
    this.#keepAliveMs = head.keepAliveMs;
    this.#listener.onHead(head);
    // The listener may have called stop().
    if (this.#state === OVER) return chunk.length;
    if (bodiless || (framing === "length" && length === 0)) this.#completeAt(found.next, chunk, []);
    else if (framing === "chunked") this.#state = CHUNK_LINE;
    else if (framing === "close") this.#state = UNTIL_CLOSE;
    else {
      this.#state = LENGTH;
      this.#left = length;
    }
    return found.next;
  }

  /** Can the incomplete head still become valid? Finds nonsense at once, not after --response-timeout. */
  #isPlausible(): boolean {
    const partial = this.#partial;
    return partial !== undefined && partial.isPlausible() && this.#fits(partial.length);
  }

  #fits(length: number): boolean {
    this.tooLarge = length > this.#maxHeadBytes;
    return !this.tooLarge;
  }

  #body(chunk: Buffer, at: number): number {
    const there = chunk.length - at;
    const takes = this.#state === UNTIL_CLOSE ? there : Math.min(there, this.#left);
    this.#handOver();
    if (this.#state === OVER) return chunk.length;
    this.#piece = takes === chunk.length ? chunk : chunk.subarray(at, at + takes);
    if (this.#state === UNTIL_CLOSE) return chunk.length;
    this.#left -= takes;
    if (this.#left === 0) {
      if (this.#state === LENGTH) this.#completeAt(at + takes, chunk, []);
      else {
        this.#line?.afterData();
        this.#state = CHUNK_LINE;
      }
    }
    return at + takes;
  }

  #chunkLine(chunk: Buffer, from: number): number {
    const line = (this.#line ??= new ChunkLine());
    for (let at = from; at < chunk.length; at += 1) {
      if (!line.push(chunk[at] ?? 0)) return -1;
      if (!line.complete) continue;
      this.#left = line.size;
      this.#state = line.size > 0 ? CHUNK_DATA : TRAILERS;
      return at + 1;
    }
    return chunk.length;
  }

  /**
   * Trailers are read like a head, up to an empty line. Without any, the CRLF after the last size is half of that line.
   */
  #trailers(chunk: Buffer, at: number): number {
    if (!this.#partial) {
      // The usual case: no trailers.
      if (chunk[at] === CR && chunk[at + 1] === LF) {
        this.#completeAt(at + 2, chunk, []);
        return at + 2;
      }
      this.#partial = new PartialHead(CRLF);
    }
    const found = this.#collect(chunk, at);
    if (!found) return this.#fits(this.#partial?.length ?? 0) ? chunk.length : -1;
    const fields = this.#fits(found.text.length) ? readTrailers(found.text) : undefined;
    if (!fields) return -1;
    this.#completeAt(found.next, chunk, fields);
    return found.next;
  }

  #completeAt(next: number, chunk: Buffer, trailers: string[]): void {
    this.surplus = next < chunk.length;
    this.#complete(trailers);
  }

  #complete(trailers: string[]): void {
    const last = this.#piece;
    this.#piece = undefined;
    this.#state = OVER;
    this.complete = true;
    this.#listener.onComplete(last, trailers);
  }

  #handOver(): void {
    const piece = this.#piece;
    this.#piece = undefined;
    if (piece) this.#listener.onBody(piece);
  }
}

function readTrailers(text: string): string[] | undefined {
  // The text begins with the CRLF of the last chunk's size line, which #trailers put in front.
  return isClean(text) ? readFields(text, 2) : undefined;
}
