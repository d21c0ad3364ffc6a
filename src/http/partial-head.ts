// Collects a head, or trailers, whose bytes come in several chunks, until the empty line at their end. Made by
// response-parser.ts when a chunk ends before that; pure. Looks at each byte once, however small the chunks are.

import { hasStray } from "./response-head.ts";

/** What ends a head and trailers. */
export const EMPTY_LINE = "\r\n\r\n";
/** The first bytes of every response that can be relayed. */
const HTTP_1 = "HTTP/1.";
const CR = 13;

/** The bytes so far of an incomplete head. */
export class PartialHead {
  #bytes: Buffer;
  #length: number;
  #judged = 0;

  /** @param first the bytes so far; copied. */
  constructor(first: Buffer) {
    this.#bytes = Buffer.from(first);
    this.#length = first.length;
  }

  get length(): number {
    return this.#length;
  }

  /**
   * Adds a chunk from `at` on; copies it. Returns the text in front of the empty line and the offset in the chunk
   * behind that line, or undefined while the empty line has not come.
   */
  add(chunk: Buffer, at: number): { text: string; next: number } | undefined {
    const before = this.#length;
    this.#length = before + chunk.length - at;
    if (this.#length > this.#bytes.length) {
      // Doubled each time, so that a head that comes byte by byte is not copied for each byte.
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

  /** Can these bytes still become a head? Checks the bytes that are new since the last call. */
  isPlausible(): boolean {
    // A CR that was last in the previous check is checked again: whether it is a bare CR depends on the next byte.
    const from = this.#judged > 0 && this.#bytes[this.#judged - 1] === CR ? this.#judged - 1 : this.#judged;
    this.#judged = this.#length;
    const start = this.#bytes.toString("latin1", 0, Math.min(this.#length, HTTP_1.length));
    return HTTP_1.startsWith(start) && !hasStray(this.#bytes.toString("latin1", from, this.#length));
  }
}
