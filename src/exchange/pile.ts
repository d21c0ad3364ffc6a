// Bytes that wait, in order. Used by request-body.ts: what they cost depends on how many there are, and not on how many
// pieces they came in. Node's parser makes an object of some hundred bytes of each chunk of a body, were it one byte.

/** A piece of so many bytes may stay what it is; smaller ones are copied together. */
const BIG = 512;
const BLOCK = 4096;

/** Bytes in order. */
export class Pile {
  length = 0;
  readonly #pieces: Buffer[] = [];
  /** The last piece, while it is one of our blocks with room behind `#used`. */
  #block: Buffer | undefined;
  #used = 0;

  add(piece: Buffer): void {
    this.length += piece.length;
    if (piece.length >= BIG) {
      this.#seal();
      this.#pieces.push(piece);
      return;
    }
    if (this.#block && this.#used + piece.length > BLOCK) this.#seal();
    this.#block ??= Buffer.allocUnsafe(BLOCK);
    this.#used += piece.copy(this.#block, this.#used);
  }

  #seal(): void {
    if (this.#block) this.#pieces.push(Buffer.from(this.#block.subarray(0, this.#used)));
    this.#block = undefined;
    this.#used = 0;
  }

  /** What is there, in few pieces. The pile keeps it. */
  pieces(): readonly Buffer[] {
    this.#seal();
    return this.#pieces;
  }

  clear(): void {
    this.length = this.#used = 0;
    this.#pieces.length = 0;
    this.#block = undefined;
  }
}
