// Sends a request's body to the upstream, with backpressure, trailers, and a bounded copy for another attempt.
// Made by sending.ts. While the upstream takes nothing, only a little is read from the client.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Client } from "../core/client.ts";
import { linesOf, passTrailers } from "../http/fields.ts";
import type { RequestHead } from "../http/request-head.ts";
import { Pile } from "./pile.ts";

/** A chunk of up to this many bytes is written as one string with its framing: one entry in node's queue, not three. */
const SMALL = 512;
/** At least this many bytes are written behind others that the kernel has not taken yet. */
const ENOUGH = 4096;
/** At this many waiting bytes the client is paused at once. */
const MUCH = 64 * 1024;
/** At this many waiting bytes the client is paused at the end of the turn of the event loop. */
const MAX_WAITING = 16 * 1024;

/** The fields of a request's head that describe its body. */
type Framing = Pick<RequestHead, "codings" | "length">;

/** The body that a request announces; undefined when there is none. The other parameters are those of `RequestBody`. */
export function bodyOf(
  { req, client, head }: { req: IncomingMessage; client: Client; head: Framing },
  maxCopy: number,
  onProgress: () => void,
): RequestBody | undefined {
  const chunked = head.codings.length > 0;
  const announced = chunked || Number(head.length ?? 0) > 0;
  return announced ? new RequestBody(req, client, chunked, maxCopy, onProgress) : undefined;
}

/** Is it certain that the whole body fits into the copy for another attempt? True without a body. */
export function isKept({ codings, length }: Framing, maxCopy: number): boolean {
  return codings.length === 0 && Number(length ?? 0) <= maxCopy;
}

/** The body of one request, sent to one attempt after another. */
export class RequestBody {
  /** Bytes read from the client. */
  bytes = 0;
  /** Has the whole body been read from the client, and written to the upstream's socket if there is one? */
  complete = false;
  readonly #req: IncomingMessage;
  readonly #client: Client;
  readonly #chunked: boolean;
  readonly #maxCopy: number;
  readonly #onProgress: () => void;
  /** All bytes read so far; undefined once they exceed `maxCopy`. */
  #copy: Pile | undefined = new Pile();
  /** Bytes that were read, but not written to an upstream yet. */
  readonly #waiting = new Pile();
  #to: Socket | undefined;
  /** Have pieces come in this turn of the event loop? */
  #gathers = false;

  /**
   * @param maxCopy max bytes kept for another attempt; 0 keeps none.
   * @param onProgress called for each piece that was read, and at the end.
   */
  constructor(req: IncomingMessage, client: Client, chunked: boolean, maxCopy: number, onProgress: () => void) {
    this.#req = req;
    this.#client = client;
    this.#chunked = chunked;
    this.#maxCopy = maxCopy;
    this.#onProgress = onProgress;
    // Reads from the beginning, even before there is an upstream: in node's queue each chunk would be an object.
    req.on("data", this.#onData);
    req.on("end", this.#onEnd);
  }

  /** Can the bytes that were read so far be sent again? */
  get replayable(): boolean {
    return this.#copy !== undefined;
  }

  /** Do bytes wait for the upstream to take them? */
  get blocked(): boolean {
    const to = this.#to;
    return to !== undefined && (to.writableNeedDrain || this.#waiting.length > 0);
  }

  /** Sends the body to `upstream`, behind the head: first the bytes that were read already, then the rest. */
  sendTo(upstream: Socket): void {
    this.#to = upstream;
    for (const piece of this.#waiting.pieces()) this.#write(piece);
    this.#waiting.clear();
    if (this.complete) this.#end();
    // The client may have been paused before there was an upstream, and its next request comes behind a complete body.
    this.resume();
  }

  /** Copies a body that is complete, kept, and not chunked into `buffer`; returns its length in bytes. */
  copyTo(buffer: Buffer, from: number): number {
    let at = from;
    for (const piece of this.#copy?.pieces() ?? []) at += piece.copy(buffer, at);
    this.#waiting.clear();
    this.#client.readOn();
    return at - from;
  }

  /** Goes on: the upstream's socket has room for more bytes. */
  resume(): void {
    const to = this.#to;
    if (!to) return;
    this.#flush(to);
    if (!this.blocked) this.#client.readOn();
  }

  /** Stops sending: the attempt has failed. If another follows, all bytes that were read so far are sent again. */
  suspend(): void {
    this.#to = undefined;
    if (!this.#copy) return;
    // Now, because the copy is dropped as soon as more comes than it may hold: before the next attempt has begun, too.
    this.#waiting.clear();
    for (const piece of this.#copy.pieces()) this.#waiting.add(piece);
  }

  /**
   * Reads and discards the rest: a client that sends its whole request before it reads would otherwise get no answer.
   */
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
   * May a piece be written now? A small one only if it is the first in this turn of the event loop: one read may bring
   * thousands of them, and each write would be a system call.
   */
  #goesAtOnce(length: number): boolean {
    const to = this.#to;
    if (!to || this.#waiting.length > 0) return false;
    // The upstream has closed after an early answer: the rest is discarded by #write, so that the client can go on.
    if (!to.writable) return true;
    if (length > SMALL) return !to.writableNeedDrain;
    if (this.#gathers || (to.writableLength > 0 && to.writableCorked === 0)) return false;
    this.#gather();
    return true;
  }

  #gather(): void {
    if (this.#gathers) return;
    this.#gathers = true;
    // Not process.nextTick, which runs after each piece of one read.
    setImmediate(this.#onGathered);
  }

  /** All pieces of this turn of the event loop have come. */
  readonly #onGathered = (): void => {
    this.#gathers = false;
    this.resume();
    // Only now, and not for each piece: a paused client that leaves is noticed late.
    if (this.#waiting.length >= MAX_WAITING) this.#client.stopReading();
  };

  readonly #onEnd = (): void => {
    this.complete = true;
    if (this.#to) this.#end();
    this.#onProgress();
  };

  /**
   * Writes the waiting bytes. Few of them wait until the kernel has taken earlier writes: fewer entries in node's
   * queue.
   */
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
