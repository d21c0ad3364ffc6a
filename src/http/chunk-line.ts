// Reads what stands between the data of two chunks: CRLF after the data, then the line with the next size (RFC 9112
// 7.1). Used by response-parser.ts for chunked bodies; pure. Chunk extensions are dropped: they are for one hop only.

// States: what the next byte belongs to.
const SIZE = 0;
/** Whitespace after the size: padding, or in front of a `;`. */
const BLANK = 1;
const EXTENSION = 2;
const SIZE_LF = 3;
const DATA_CR = 4;
const DATA_LF = 5;

const HTAB = 9;
const LF = 10;
const CR = 13;
const SP = 32;
const SEMICOLON = 59;
/** A size of 12 hexadecimal digits is below 2 ** 53, so exact as a number. */
const MAX_SIZE_DIGITS = 12;
/**
 * Limit of whitespace and extensions in a whole body: they have no use, so many of them are an attack (CVE-2024-22019).
 */
const MAX_EXTENSION_BYTES = 16 * 1024;

/** Reads the chunk lines of one body, byte by byte. */
export class ChunkLine {
  /** The size in a complete line: how many bytes of data follow; 0 for the last chunk. */
  size = 0;
  /** Has a whole line been read? */
  complete = false;
  #state = SIZE;
  #digits = 0;
  #extensionBytes = 0;

  /** Has nothing of the next line been read, but all that stands in front of it? */
  get isAtStart(): boolean {
    return this.#state === SIZE && this.#digits === 0;
  }

  /** The data of a chunk was read: its CRLF follows, and then the next line. */
  afterData(): void {
    this.size = this.#digits = 0;
    this.complete = false;
    this.#state = DATA_CR;
  }

  /** Takes a byte. False when the grammar does not allow it there. */
  push(byte: number): boolean {
    switch (this.#state) {
      case SIZE: {
        const digit = hexOf(byte);
        if (digit < 0) return this.#digits > 0 && this.#behindSize(byte);
        this.size = this.size * 16 + digit;
        return ++this.#digits <= MAX_SIZE_DIGITS;
      }
      case BLANK:
        return this.#behindSize(byte);
      case EXTENSION:
        if (byte === CR) this.#state = SIZE_LF;
        // No control bytes but a tab; LF is one of them.
        return byte === CR || ((byte > 31 || byte === HTAB) && this.#isInBounds());
      case SIZE_LF:
        this.complete = byte === LF;
        return this.complete;
      case DATA_CR:
        this.#state = DATA_LF;
        return byte === CR;
      default:
        this.#state = SIZE;
        return byte === LF;
    }
  }

  #behindSize(byte: number): boolean {
    const isBlank = byte === SP || byte === HTAB;
    this.#state = byte === CR ? SIZE_LF : isBlank ? BLANK : EXTENSION;
    return byte === CR || byte === SEMICOLON || (isBlank && this.#isInBounds());
  }

  #isInBounds(): boolean {
    this.#extensionBytes += 1;
    return this.#extensionBytes <= MAX_EXTENSION_BYTES;
  }
}

/**
 * How many bytes of data are in `bytes`, if these are nothing but whole chunks without extensions. -1 when they are
 * anything else: the last chunk is among them, or a part of a chunk, or a fault. Takes nothing that ChunkLine refuses.
 */
export function dataInWholeChunks(bytes: Buffer): number {
  let data = 0;
  let at = 0;
  while (at < bytes.length) {
    let size = 0;
    let digits = 0;
    for (let digit = hexOf(bytes[at] ?? 0); digit >= 0; digit = hexOf(bytes[at + digits] ?? 0)) {
      size = size * 16 + digit;
      digits += 1;
    }
    const end = at + digits + 2 + size;
    if (size === 0 || digits > MAX_SIZE_DIGITS || end + 2 > bytes.length) return -1;
    if (!isLineEnd(bytes, at + digits) || !isLineEnd(bytes, end)) return -1;
    data += size;
    at = end + 2;
  }
  return data;
}

function isLineEnd(bytes: Buffer, at: number): boolean {
  return bytes[at] === CR && bytes[at + 1] === LF;
}

function hexOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
