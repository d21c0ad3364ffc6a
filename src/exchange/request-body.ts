// Carries a request's body upstream, with backpressure, trailers and a bounded copy for another attempt.
// Used by exchange.ts. Of a body that nobody takes only a little is read.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Client } from "../core/client.ts";
import { linesOf, passTrailers } from "../http/fields.ts";
import type { RequestHead } from "../http/request-head.ts";
import { Pile } from "./pile.ts";

/** A chunk of up to so many bytes goes out as one string with its framing: that is one entry in node's queue, not three. */
const SMALL = 512;
/** So many bytes that wait are worth an entry of their own. */
const ENOUGH = 4096;
/** So many of one turn of the event loop are the last. */
const MUCH = 64 * 1024;
/** Nothing more is read while so many bytes, or more, have nowhere to go. */
const MAX_WAITING = 16 * 1024;

/** What of a request's head tells of its body. */
type Framing = Pick<RequestHead, "codings" | "length">;

/** The body that a request announces; undefined when there is none. The rest is as in `RequestBody`. */
export function bodyOf(
  { req, client, head }: { req: IncomingMessage; client: Client; head: Framing },
  maxCopy: number,
  onProgress: () => void,
): RequestBody | undefined {
  const chunked = head.codings.length > 0;
  const announced = chunked || Number(head.length ?? 0) > 0;
  return announced ? new RequestBody(req, client, chunked, maxCopy, onProgress) : undefined;
}

/** Is all of the body, if there is one, sure to be kept for another attempt? */
export function isKept({ codings, length }: Framing, maxCopy: number): boolean {
  return codings.length === 0 && Number(length ?? 0) <= maxCopy;
}

/** The body of one request, sent to one attempt after another. */
export class RequestBody {
  /** Bytes read from the client. */
  bytes = 0;
  /** Everything has been read from the client, and written upstream if there is one. */
  complete = false;
  readonly #req: IncomingMessage;
  readonly #client: Client;
  readonly #chunked: boolean;
  readonly #maxCopy: number;
  readonly #onProgress: () => void;
  /** All that was read so far; undefined once that is too much to be kept. */
  #copy: Pile | undefined = new Pile();
  /** Was read, and is not written to an upstream yet. */
  readonly #waiting = new Pile();
  #to: Socket | undefined;
  /** Is a turn of the event loop not over in which pieces came? */
  #gathers = false;

  /**
   * @param maxCopy bytes kept for another attempt; 0 keeps none.
   * @param onProgress called for each piece that went through, and at the end.
   */
  constructor(req: IncomingMessage, client: Client, chunked: boolean, maxCopy: number, onProgress: () => void) {
    this.#req = req;
    this.#client = client;
    this.#chunked = chunked;
    this.#maxCopy = maxCopy;
    this.#onProgress = onProgress;
    // Not only when somebody takes it: in node's queue each chunk would be an object.
    req.on("data", this.#onData);
    req.on("end", this.#onEnd);
  }

  /** Can what was read so far be sent again? */
  get replayable(): boolean {
    return this.#copy !== undefined;
  }

  /** Is it the upstream that does not take the bytes (rather than the client that does not send them)? */
  get blocked(): boolean {
    const to = this.#to;
    return to !== undefined && (to.writableNeedDrain || this.#waiting.length > 0);
  }

  /** Sends the body on `upstream`, behind the head: first what was read already, then the rest. */
  sendTo(upstream: Socket): void {
    this.#to = upstream;
    const read = this.#copy ?? this.#waiting;
    for (const piece of read.pieces()) this.#write(piece);
    this.#waiting.clear();
    if (this.complete) this.#end();
    else this.resume();
  }

  /** Copies all of a body that is complete, kept, and not chunked; returns its length in bytes. */
  copyTo(buffer: Buffer, from: number): number {
    let at = from;
    for (const piece of this.#copy?.pieces() ?? []) at += piece.copy(buffer, at);
    this.#waiting.clear();
    return at - from;
  }

  /** The upstream takes bytes again. */
  resume(): void {
    const to = this.#to;
    if (!to) return;
    this.#flush(to);
    if (!this.blocked) this.#client.readOn();
  }

  /** Stops sending: the attempt is over, another may follow. */
  suspend(): void {
    this.#to = undefined;
  }

  /** Nobody wants the rest. It is read and dropped, so that the client gets round to reading its answer. */
  discard(): void {
    this.#to = undefined;
    this.#copy = undefined;
    this.#waiting.clear();
    this.#req.off("data", this.#onData);
    this.#req.off("end", this.#onEnd);
    this.#req.resume();
    this.#client.readOn();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytes += chunk.length;
    if (this.bytes <= this.#maxCopy) this.#copy?.add(chunk);
    else this.#copy = undefined;
    if (this.#goesAtOnce(chunk.length)) this.#write(chunk);
    else {
      this.#waiting.add(chunk);
      if (this.#waiting.length >= MUCH) this.#client.stopReading();
      this.#gather();
    }
    this.#onProgress();
  };

  /**
   * May a piece be written now? A small one only if it is the first of its turn of the event loop: a read may bring
   * thousands, and each would be a call of the system.
   */
  #goesAtOnce(length: number): boolean {
    const to = this.#to;
    if (!to || this.#waiting.length > 0) return false;
    // It has closed after an early answer: what it did not want is read all the same, or the client would wait.
    if (!to.writable) return true;
    if (length > SMALL) return !to.writableNeedDrain;
    if (this.#gathers || (to.writableLength > 0 && to.writableCorked === 0)) return false;
    this.#gather();
    return true;
  }

  #gather(): void {
    if (this.#gathers) return;
    this.#gathers = true;
    // Not the next tick: node has one behind each piece.
    setImmediate(this.#onGathered);
  }

  /** All that was to be read in this turn is there. */
  readonly #onGathered = (): void => {
    this.#gathers = false;
    this.resume();
    // Not at once: whoever is not read from and leaves is not noticed.
    if (this.#waiting.length >= MAX_WAITING) this.#client.stopReading();
  };

  readonly #onEnd = (): void => {
    this.complete = true;
    if (this.#to) this.#end();
    this.#onProgress();
  };

  /** Writes what waits: a little of it only behind nothing that the system has not taken, or that would be many entries. */
  #flush(to: Socket): void {
    const { length } = this.#waiting;
    if (length === 0 || to.writableNeedDrain || (length < ENOUGH && to.writableLength > 0)) return;
    for (const piece of this.#waiting.pieces()) this.#write(piece);
    this.#waiting.clear();
  }

  readonly #onTaken = (): void => {
    if (this.#waiting.length > 0) this.resume();
  };

  #write(chunk: Buffer): void {
    const to = this.#to;
    if (!to?.writable) return;
    if (!this.#chunked) return void to.write(chunk, this.#onTaken);
    const size = `${chunk.length.toString(16)}\r\n`;
    if (chunk.length <= SMALL) return void to.write(`${size}${chunk.toString("latin1")}\r\n`, "latin1", this.#onTaken);
    to.cork();
    to.write(size, "latin1");
    to.write(chunk);
    to.write("\r\n", "latin1", this.#onTaken);
    to.uncork();
  }

  #end(): void {
    for (const piece of this.#waiting.pieces()) this.#write(piece);
    this.#waiting.clear();
    if (!this.#chunked || !this.#to?.writable) return;
    const trailers = passTrailers(this.#req.rawTrailers).flat();
    this.#to.write(`0\r\n${linesOf(trailers)}\r\n`, "latin1");
  }
}
