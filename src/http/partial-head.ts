// A head, or trailers, that came in pieces: what there is of it, until its empty line is there.
// Made by response-parser.ts when a piece ends before that; pure. However it drips in, each byte is looked at once.

import { hasStray } from "./response-head.ts";

/** Ends a head and trailers. */
export const EMPTY_LINE = "\r\n\r\n";
/** How every response begins that can be relayed. */
const HTTP_1 = "HTTP/1.";
const CR = 13;

/** Bytes in front of an empty line that has not come. */
export class PartialHead {
  #bytes: Buffer;
  #length: number;
  #judged = 0;

  /** @param first what has come; it is copied. */
  constructor(first: Buffer) {
    this.#bytes = Buffer.from(first);
    this.#length = first.length;
  }

  get length(): number {
    return this.#length;
  }

  /**
   * Adds a chunk, which is copied, from `at` on. Returns the text in front of the empty line and where in the chunk
   * that ends, or undefined while it has not come.
   */
  add(chunk: Buffer, at: number): { text: string; next: number } | undefined {
    const before = this.#length;
    this.#length = before + chunk.length - at;
    if (this.#length > this.#bytes.length) {
      // Twice as much each time: a head that comes byte by byte is not copied byte by byte.
      const larger = Buffer.allocUnsafe(2 * this.#length);
      this.#bytes.copy(larger, 0, 0, before);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, before, at);
    const from = Math.max(0, before - EMPTY_LINE.length + 1);
    const found = this.#bytes.subarray(from, this.#length).indexOf(EMPTY_LINE);
    if (found < 0) return undefined;
    const end = from + found;
    return { text: this.#bytes.toString("latin1", 0, end), next: at + end + EMPTY_LINE.length - before };
  }

  /** Can it still become a head? Looks at what is new since it was asked last. */
  isPlausible(): boolean {
    // What a CR means the next byte tells.
    const from = this.#judged > 0 && this.#bytes[this.#judged - 1] === CR ? this.#judged - 1 : this.#judged;
    this.#judged = this.#length;
    const start = this.#bytes.toString("latin1", 0, Math.min(this.#length, HTTP_1.length));
    return HTTP_1.startsWith(start) && !hasStray(this.#bytes.toString("latin1", from, this.#length));
  }
}
