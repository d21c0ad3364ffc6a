// Carries a request's body upstream, with backpressure, trailers and a bounded copy for another attempt.
// Used by exchange.ts. It reads nothing before a connection stands, so a held upload costs no memory.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { linesOf, passTrailers } from "../http/fields.ts";
import type { RequestHead } from "../http/request-head.ts";

/** What of a request's head tells of its body. */
type Framing = Pick<RequestHead, "codings" | "length">;

/** The body that a head announces; undefined when there is none. The rest is as in `RequestBody`. */
export function bodyOf(
  req: IncomingMessage,
  { codings, length }: Framing,
  maxCopy: number,
  onProgress: () => void,
): RequestBody | undefined {
  const announced = codings.length > 0 || Number(length ?? 0) > 0;
  return announced ? new RequestBody(req, codings.length > 0, maxCopy, onProgress) : undefined;
}

/** Is all of the body, if there is one, sure to be kept for another attempt? */
export function isKept({ codings, length }: Framing, maxCopy: number): boolean {
  return codings.length === 0 && Number(length ?? 0) <= maxCopy;
}

/** The body of one request, sent to one attempt after another. */
export class RequestBody {
  /** Bytes read from the client. */
  bytes = 0;
  /** Everything has been read from the client and written upstream. */
  complete = false;
  readonly #req: IncomingMessage;
  readonly #chunked: boolean;
  readonly #maxCopy: number;
  readonly #onProgress: () => void;
  #copy: Buffer[] | undefined = [];
  #to: Socket | undefined;
  #reading = false;

  /**
   * @param maxCopy bytes kept for another attempt; 0 keeps none.
   * @param onProgress called for each piece that went through, and at the end.
   */
  constructor(req: IncomingMessage, chunked: boolean, maxCopy: number, onProgress: () => void) {
    this.#req = req;
    this.#chunked = chunked;
    this.#maxCopy = maxCopy;
    this.#onProgress = onProgress;
  }

  /** Can what was read so far be sent again? */
  get replayable(): boolean {
    return this.#copy !== undefined;
  }

  /** Is it the upstream that does not take the bytes (rather than the client that does not send them)? */
  get blocked(): boolean {
    return this.#to?.writableNeedDrain ?? false;
  }

  /** Sends the body on `upstream`, behind the head: first the copy of what an earlier attempt got, then the rest. */
  sendTo(upstream: Socket): void {
    this.#to = upstream;
    for (const chunk of this.#copy ?? []) this.#write(chunk);
    if (this.complete) return this.#end();
    if (this.#reading) this.#req.resume();
    else {
      this.#reading = true;
      this.#req.on("data", this.#onData);
      this.#req.on("end", this.#onEnd);
    }
  }

  /** The upstream takes bytes again. */
  resume(): void {
    if (this.#to) this.#req.resume();
  }

  /** Stops sending: the attempt is over, another may follow. */
  suspend(): void {
    this.#to = undefined;
    if (this.#reading && !this.complete) this.#req.pause();
  }

  /** Nobody wants the rest. It is read and dropped, so that the client gets round to reading its answer. */
  discard(): void {
    this.#to = undefined;
    this.#copy = undefined;
    this.#req.off("data", this.#onData);
    this.#req.off("end", this.#onEnd);
    this.#req.resume();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytes += chunk.length;
    if (this.bytes <= this.#maxCopy) this.#copy?.push(chunk);
    else this.#copy = undefined;
    if (!this.#write(chunk)) this.#req.pause();
    this.#onProgress();
  };

  readonly #onEnd = (): void => {
    this.complete = true;
    this.#end();
    this.#onProgress();
  };

  /** Returns whether the upstream takes more. */
  #write(chunk: Buffer): boolean {
    const to = this.#to;
    // It has closed after an early answer: what it did not want is read all the same, or the client would wait.
    if (!to?.writable) return true;
    if (!this.#chunked) return to.write(chunk);
    to.cork();
    to.write(`${chunk.length.toString(16)}\r\n`, "latin1");
    to.write(chunk);
    const flows = to.write("\r\n", "latin1");
    to.uncork();
    return flows;
  }

  #end(): void {
    if (!this.#chunked || !this.#to?.writable) return;
    const trailers = passTrailers(this.#req.rawTrailers).flat();
    this.#to.write(`0\r\n${linesOf(trailers)}\r\n`, "latin1");
  }
}
