// A queue of bytes whose memory depends on the number of bytes, not of pieces. Used by request-body.ts: node's parser
// makes a Buffer object, some hundred bytes, for each chunk of a body, even for chunks of one byte.

/** Pieces of at least this many bytes are kept as they are; smaller ones are copied together into blocks. */
const BIG = 512;
const BLOCK = 4096;

/** Bytes in order. */
export class Pile {
  length = 0;
  readonly #pieces: Buffer[] = [];
  /** The block that is being filled, up to `#used`. */
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

  /** All bytes, in few pieces. They stay in the pile. */
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
