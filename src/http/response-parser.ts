// Reads one response from the bytes of an upstream, however they are cut: heads, body, trailers (RFC 9112).
// Fed by call.ts; knows no socket. Stricter than node's parser where readers differ: CRLF only, one framing only.

import { EMPTY_LINE, PartialHead } from "./partial-head.ts";
import { isClean, readFields, readResponseHead, type ResponseHead } from "./response-head.ts";

/** Who hears what a response consists of. */
export interface ResponseListener {
  /** A 1xx other than 101; any number of them before the head. */
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead): void;
  onBody(piece: Buffer): void;
  /** Everything came. `last` is the last piece of the body, where it was known to be the last. */
  onComplete(last: Buffer | undefined, trailers: string[]): void;
  /** A 101: what follows, `early` first, is another protocol. */
  onSwitched(head: ResponseHead, early: Buffer): void;
}

// What the next byte belongs to.
const HEAD = 0;
const LENGTH = 1;
const UNTIL_CLOSE = 2;
const CHUNK_SIZE = 3;
const CHUNK_EXTENSION = 4;
const CHUNK_SIZE_LF = 5;
const CHUNK_DATA = 6;
const CHUNK_DATA_CR = 7;
const CHUNK_DATA_LF = 8;
const TRAILERS = 9;
/** The response is over, switched, given up or no response: what comes is not ours. */
const OVER = 10;

const CR = 13;
const LF = 10;
const SEMICOLON = 59;
/** 12 hexadecimal digits: exact as a number. */
const MAX_SIZE_DIGITS = 12;
/** Chunk extensions of a response, all together: nobody uses them, so many of them are an attack (CVE-2024-22019). */
const MAX_EXTENSION_BYTES = 16 * 1024;
const CRLF = Buffer.from("\r\n");

/** The parser of one response. */
export class ResponseParser {
  /** Has all of a final response come? */
  complete = false;
  /** Came more behind the response than belongs to it? */
  surplus = false;
  readonly #listener: ResponseListener;
  readonly #headMethod: boolean;
  readonly #maxHeadBytes: number;
  #state = HEAD;
  #persists = false;
  #keepAliveMs: number | undefined;
  /** What has come of a head or of trailers that are not complete. */
  #partial: PartialHead | undefined;
  /** Bytes that the body, or this chunk, still has. */
  #left = 0;
  #digits = 0;
  #extensionBytes = 0;
  /** A piece that may be the last one: it waits until the bytes that came with it have been looked at. */
  #piece: Buffer | undefined;

  /**
   * @param method of the request: an answer to HEAD has no body.
   * @param maxHeadBytes for each head, and for the trailers.
   */
  constructor(listener: ResponseListener, method: string, maxHeadBytes: number) {
    this.#listener = listener;
    this.#headMethod = method === "HEAD";
    this.#maxHeadBytes = maxHeadBytes;
  }

  /** Can another request follow on the connection, once the response is complete? */
  get isReusable(): boolean {
    return this.complete && !this.surplus && this.#persists;
  }

  /** `Keep-Alive: timeout` of the response, in milliseconds. */
  get keepAliveMs(): number | undefined {
    return this.#keepAliveMs;
  }

  /** Stops calling the listener. */
  stop(): void {
    this.#state = OVER;
    this.#piece = undefined;
  }

  /** Takes what the upstream sent; `chunk` is only lent. False when it is no response. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === OVER) {
        this.surplus = true;
        break;
      }
      at = this.#step(chunk, at);
      if (at < 0) {
        this.stop();
        return false;
      }
    }
    this.#handOver();
    return true;
  }

  /** The upstream has closed. True if that completes the response. */
  finish(): boolean {
    if (this.#state !== UNTIL_CLOSE) return false;
    this.#complete([]);
    return true;
  }

  /** Reads on from `at`; returns where it stopped, or -1 when that is no response. */
  #step(chunk: Buffer, at: number): number {
    switch (this.#state) {
      case HEAD:
        return this.#readHead(chunk, at);
      case LENGTH:
      case UNTIL_CLOSE:
      case CHUNK_DATA:
        return this.#body(chunk, at);
      case TRAILERS:
        return this.#trailers(chunk, at);
      default:
        return this.#chunkByte(chunk[at] ?? 0) ? at + 1 : -1;
    }
  }

  /** Collects up to an empty line. Returns the text in front of it, or undefined while it has not come. */
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
    const head = found.text.length <= this.#maxHeadBytes ? readResponseHead(found.text) : undefined;
    if (!head) return -1;
    if (head.status === 101) {
      this.#state = OVER;
      this.#listener.onSwitched(head, chunk.subarray(found.next));
      return chunk.length;
    }
    if (head.status < 200) {
      this.#listener.onInterim(head);
      return found.next;
    }
    const { status, framing, length } = head;
    const bodiless = this.#headMethod || status === 204 || status === 304;
    this.#persists = head.persistent && (bodiless || framing !== "close");
    this.#keepAliveMs = head.keepAliveMs;
    this.#listener.onHead(head);
    // The listener may have lost interest.
    if (this.#state === OVER) return chunk.length;
    if (bodiless || (framing === "length" && length === 0)) this.#completeAt(found.next, chunk, []);
    else if (framing === "chunked") this.#state = CHUNK_SIZE;
    else if (framing === "close") this.#state = UNTIL_CLOSE;
    else {
      this.#state = LENGTH;
      this.#left = length;
    }
    return found.next;
  }

  /** So nonsense is told at once, not when the time is up. */
  #isPlausible(): boolean {
    const partial = this.#partial;
    return partial !== undefined && partial.length <= this.#maxHeadBytes && partial.isPlausible();
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
      else this.#state = CHUNK_DATA_CR;
    }
    return at + takes;
  }

  /** One byte of what stands between two chunks. */
  #chunkByte(byte: number): boolean {
    switch (this.#state) {
      case CHUNK_SIZE: {
        const digit = hexOf(byte);
        if (digit >= 0) {
          this.#left = this.#left * 16 + digit;
          return ++this.#digits <= MAX_SIZE_DIGITS;
        }
        this.#state = byte === CR ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return this.#digits > 0 && (byte === CR || byte === SEMICOLON);
      }
      case CHUNK_EXTENSION:
        if (byte === CR) this.#state = CHUNK_SIZE_LF;
        // A control byte other than a tab; LF is one.
        return byte === CR || ((byte > 31 || byte === 9) && ++this.#extensionBytes <= MAX_EXTENSION_BYTES);
      case CHUNK_SIZE_LF:
        this.#digits = 0;
        this.#state = this.#left > 0 ? CHUNK_DATA : TRAILERS;
        return byte === LF;
      case CHUNK_DATA_CR:
        this.#state = CHUNK_DATA_LF;
        return byte === CR;
      default:
        this.#state = CHUNK_SIZE;
        return byte === LF;
    }
  }

  /** Trailers are read like a head: up to an empty line, whose first half is the end of the last chunk's size. */
  #trailers(chunk: Buffer, at: number): number {
    if (!this.#partial) {
      // Hardly anybody has any.
      if (chunk[at] === CR && chunk[at + 1] === LF) {
        this.#completeAt(at + 2, chunk, []);
        return at + 2;
      }
      this.#partial = new PartialHead(CRLF);
    }
    const found = this.#collect(chunk, at);
    if (!found) return (this.#partial?.length ?? 0) <= this.#maxHeadBytes ? chunk.length : -1;
    const fields = found.text.length <= this.#maxHeadBytes ? readTrailers(found.text) : undefined;
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
  // It begins with the CRLF of the last chunk's size.
  return isClean(text) ? readFields(text, 2) : undefined;
}

function hexOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
