// Carries a request's body upstream, with backpressure, trailers and a bounded copy for another attempt.
// Used by exchange.ts. It reads nothing before a connection stands, so a held upload costs no memory (SPEC 3.3).

import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { passTrailers } from "./headers.ts";

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
  #to: ClientRequest | undefined;
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

  /** Sends the body to this attempt, made on `socket`: first the copy of what an earlier one got, then the rest as it comes. */
  sendTo(upstream: ClientRequest, socket: Socket): void {
    this.#to = upstream;
    for (const chunk of this.#copy ?? []) upstream.write(chunk);
    if (this.complete) return this.#end();
    const onDrain = (): void => {
      if (this.#to === upstream) this.#req.resume();
    };
    upstream.on("drain", onDrain);
    // Node stops forwarding `drain` when an early answer is complete, while the upload still goes on.
    socket.on("drain", onDrain);
    upstream.once("close", () => socket.off("drain", onDrain));
    if (this.#reading) this.#req.resume();
    else {
      this.#reading = true;
      this.#req.on("data", this.#onData);
      this.#req.on("end", this.#onEnd);
    }
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
    if (this.#to?.write(chunk) === false) this.#req.pause();
    this.#onProgress();
  };

  readonly #onEnd = (): void => {
    this.complete = true;
    this.#end();
    this.#onProgress();
  };

  #end(): void {
    if (this.#chunked && this.#req.rawTrailers.length > 0) this.#to?.addTrailers(passTrailers(this.#req.rawTrailers));
    this.#to?.end();
  }
}
