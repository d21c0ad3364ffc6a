// Follows the frame headers of one direction of a WebSocket, in chunks of any size (RFC 6455 5.2), so that the tunnel
// knows where it may insert a frame. Called by tunnel.ts for each chunk; pure; reads header bytes only.

const OPCODE_CONTINUATION = 0x0;
const OPCODE_BINARY = 0x2;
const OPCODE_CLOSE = 0x8;
const OPCODE_PONG = 0xa;
const FIN = 0x80;
const MASKED = 0x80;
const WHOLE_TEXT = FIN | 0x1;
const WHOLE_BINARY = FIN | OPCODE_BINARY;
/** The payload of this proxy's pings, in bytes: a tag that is the same in all, and then a number. */
export const PING_PAYLOAD = 8;
const PING_TAG = 4;
/** The longest answer to such a ping, in bytes: header, mask, payload. */
const MAX_PONG = 6 + PING_PAYLOAD;

/** Follows one direction of a tunnel. */
export class FrameFollower {
  /** Has a Close frame passed? Then no frame may be inserted behind it. */
  closed = false;
  /** Did the bytes break RFC 6455? Then they are relayed as they are, and nothing is inserted. */
  opaque = false;
  /** Where in the last chunk (as push() returned it) the last frame ended; -1 if none ended in it. */
  boundary = -1;
  readonly #masked: boolean;
  readonly #extensions: boolean;
  #pong: Buffer | undefined;
  #onPong: (() => void) | undefined;

  // The current frame: header bytes seen, size of the header, payload bytes to come.
  #seen = 0;
  #size = 2;
  #remaining = 0;
  #first = 0;
  #length = 0;
  #fragmented = false;

  // Bytes of earlier chunks that are held back while they may be the pong to cut out.
  #kept: Buffer | undefined;
  #keptLength = 0;
  #keeping = false;

  /**
   * @param masked are the frames masked? A client's have to be (RFC 6455 5.1).
   * @param extensions was an extension negotiated, so that RSV bits may be set?
   */
  constructor(masked: boolean, extensions: boolean) {
    this.#masked = masked;
    this.#extensions = extensions;
  }

  /** May a frame be inserted behind the bytes that were passed on so far? */
  get betweenFrames(): boolean {
    return !this.opaque && (this.#keeping || (this.#seen === 0 && this.#remaining === 0));
  }

  /**
   * From now on pongs to this proxy's pings are cut out of the stream, since the other side did not ask for them. The
   * pong with this payload calls `onPong` and ends that. A pong that has only the tag answers an earlier ping: a peer
   * may skip some (RFC 6455 5.5.3).
   */
  expectPong(payload: Buffer, onPong: () => void): void {
    this.#pong = payload;
    this.#onPong = onPong;
    this.#kept ??= Buffer.allocUnsafe(MAX_PONG);
  }

  /** Follows a chunk. Returns the bytes to pass on: the chunk itself, unless a pong is cut out or held back. */
  push(chunk: Buffer): Buffer {
    this.boundary = -1;
    if (this.opaque) return chunk;
    // The output differs from the input only while a pong is expected, or half of one is held back.
    return this.#pong || this.#keeping ? this.#sift(chunk) : this.#follow(chunk);
  }

  #follow(chunk: Buffer): Buffer {
    const end = chunk.length;
    let at = 0;
    while (at < end) {
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, end - at);
        this.#remaining -= step;
        at += step;
      } else if (this.#seen > 0 || (at = this.#stepOver(chunk, at)) < end) {
        if (!this.#header(chunk[at++] ?? 0)) return chunk;
      }
      if (this.#remaining === 0 && this.#seen === 0) this.boundary = at;
    }
    return chunk;
  }

  /**
   * Skips whole short messages; returns where the first other frame begins. Short messages come in bursts, for which
   * #header, byte by byte, would cost as much as the system calls that carry them. Called at a frame boundary.
   */
  #stepOver(chunk: Buffer, start: number): number {
    if (this.#fragmented) return start;
    const header = this.#masked ? 6 : 2;
    const mask = this.#masked ? MASKED : 0;
    let at = start;
    for (;;) {
      const first = chunk[at];
      // With the wrong mask bit the length is above 125, too.
      const length = (chunk[at + 1] ?? 0xff) ^ mask;
      const next = at + header + length;
      const isWhole = (first === WHOLE_TEXT || first === WHOLE_BINARY) && length <= 125 && next <= chunk.length;
      if (!isWhole) return at;
      this.boundary = at = next;
    }
  }

  /** Like #follow, but holds bytes back that may be an expected pong, until that is known. */
  #sift(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    let passed = 0;
    // The first byte of the chunk that is neither in `out` nor dropped.
    let from = 0;
    let at = 0;
    const pass = (piece: Buffer): void => {
      if (piece.length > 0) out.push(piece);
      passed += piece.length;
    };
    const release = (): void => {
      this.#keeping = false;
      if (this.#keptLength > 0) pass(Buffer.from(this.#kept?.subarray(0, this.#keptLength) ?? []));
      this.#keptLength = 0;
    };
    while (at < chunk.length) {
      const byte = chunk[at] ?? 0;
      if (!this.#keeping && this.#seen === 0 && this.#remaining === 0 && this.#pong && byte === (FIN | OPCODE_PONG)) {
        pass(chunk.subarray(from, at));
        from = at;
        this.#keeping = true;
      }
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, chunk.length - at);
        this.#remaining -= step;
        at += step;
      } else if (this.#header(byte)) at += 1;
      else {
        // The bytes are no valid frame: passes on all that was held back, and the rest as it is.
        release();
        break;
      }
      // The second header byte has the length: a pong of another length is not expected, so it is passed on at once.
      if (this.#keeping && this.#seen !== 1 && this.#length !== PING_PAYLOAD) release();
      if (this.#seen > 0 || this.#remaining > 0) continue;
      if (this.#keeping && this.#isOurPong(chunk.subarray(from, at))) {
        this.#keeping = false;
        this.#keptLength = 0;
        from = at;
      } else if (this.#keeping) release();
      this.boundary = passed + at - from;
    }
    if (this.#keeping && this.#kept) {
      this.#keptLength += chunk.copy(this.#kept, this.#keptLength, from);
      from = chunk.length;
    }
    if (out.length === 0) return from === 0 ? chunk : chunk.subarray(from);
    pass(chunk.subarray(from));
    return out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out);
  }

  /** Are the held bytes and these last ones a pong to one of our pings? Calls `onPong` if it is the expected one. */
  #isOurPong(last: Buffer): boolean {
    const expected = this.#pong;
    if (!expected || !this.#kept) return false;
    last.copy(this.#kept, this.#keptLength);
    const start = this.#masked ? 6 : 2;
    let same = 0;
    while (same < PING_PAYLOAD) {
      const mask = this.#masked ? (this.#kept[2 + (same % 4)] ?? 0) : 0;
      if (((this.#kept[start + same] ?? 0) ^ mask) !== expected[same]) break;
      same += 1;
    }
    if (same === PING_PAYLOAD) {
      this.#pong = undefined;
      this.#onPong?.();
    }
    return same >= PING_TAG;
  }

  /** Takes one header byte; false when it breaks RFC 6455. */
  #header(byte: number): boolean {
    const seen = this.#seen++;
    if (seen === 0) {
      this.#first = byte;
    } else if (seen === 1) {
      const length = byte & 0x7f;
      const extended = length === 126 ? 2 : length === 127 ? 8 : 0;
      this.#size = 2 + extended + (this.#masked ? 4 : 0);
      this.#length = extended === 0 ? length : 0;
      if (!this.#isLegal(byte, length)) return this.#break();
    } else if (seen < this.#size - (this.#masked ? 4 : 0)) {
      this.#length = this.#length * 256 + byte;
    }
    return this.#seen < this.#size || this.#endOfHeader();
  }

  /** May a frame begin with these two bytes, here? */
  #isLegal(second: number, length: number): boolean {
    const opcode = this.#first & 0x0f;
    const final = (this.#first & FIN) !== 0;
    if (((second & MASKED) !== 0) !== this.#masked) return false;
    if ((this.#first & 0x70) !== 0 && !this.#extensions) return false;
    if (opcode >= OPCODE_CLOSE) return opcode <= OPCODE_PONG && final && length <= 125;
    if (opcode > OPCODE_BINARY) return false;
    // A continuation frame needs an unfinished message, and a new message needs a finished one (RFC 6455 5.4).
    return (opcode === OPCODE_CONTINUATION) === this.#fragmented;
  }

  #endOfHeader(): boolean {
    const extended = this.#size - 2 - (this.#masked ? 4 : 0);
    // The length has to be in its shortest encoding (RFC 6455 5.2). More than 2 ** 53 cannot be counted in a number.
    const least = extended === 8 ? 65536 : extended === 2 ? 126 : 0;
    if (this.#length < least || this.#length > Number.MAX_SAFE_INTEGER) return this.#break();
    const opcode = this.#first & 0x0f;
    if (opcode < OPCODE_CLOSE) this.#fragmented = (this.#first & FIN) === 0;
    else if (opcode === OPCODE_CLOSE) this.closed = true;
    this.#seen = 0;
    this.#remaining = this.#length;
    return true;
  }

  #break(): false {
    this.opaque = true;
    this.boundary = -1;
    return false;
  }
}
