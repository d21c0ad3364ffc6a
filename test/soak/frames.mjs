// Small WebSocket frames for raw peers: made with a mask of zeros, taken apart with any.

const TEXT = 0x1;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

/** @param {number} opcode @param {Buffer} payload @param {boolean} masked */
function frame(opcode, payload, masked) {
  const head = Buffer.from([0x80 | opcode, (masked ? 0x80 : 0) | payload.length]);
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), payload]);
}

/** A text of less than 126 bytes. @param {string} text @param {boolean} masked */
export function textFrame(text, masked) {
  return frame(TEXT, Buffer.from(text), masked);
}

/** @param {number} code @param {boolean} masked */
export function closeFrame(code, masked) {
  return frame(CLOSE, Buffer.from([code >> 8, code & 0xff]), masked);
}

/** Takes small frames out of a stream; longer ones end it, as only half of them ever comes. */
export class Frames {
  #rest = Buffer.alloc(0);

  /** @param {Buffer} chunk @returns {{ opcode: number; payload: Buffer }[]} */
  push(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const frames = [];
    for (;;) {
      const [first = 0, second = 0] = this.#rest;
      const masked = second > 127;
      const length = second & 0x7f;
      const start = masked ? 6 : 2;
      if (this.#rest.length < 2 || length > 125 || this.#rest.length < start + length) return frames;
      const payload = Buffer.from(this.#rest.subarray(start, start + length));
      if (masked) for (let i = 0; i < length; i += 1) payload[i] ^= this.#rest[2 + (i % 4)];
      frames.push({ opcode: first & 0x0f, payload });
      this.#rest = this.#rest.subarray(start + length);
    }
  }
}

/**
 * What a polite peer says to these frames: a pong to a ping, a Close to a Close, and with `echo` a text to a text.
 *
 * @param {{ opcode: number; payload: Buffer }[]} frames
 * @param {{ masked: boolean; echo: boolean }} how
 */
export function repliesTo(frames, { masked, echo }) {
  const replies = [];
  for (const { opcode, payload } of frames) {
    if (opcode === PING) replies.push(frame(PONG, payload, masked));
    else if (opcode === CLOSE || (echo && opcode <= 2)) replies.push(frame(opcode, payload, masked));
  }
  return replies;
}

/** The code of the Close among these, if there is one. @param {{ opcode: number; payload: Buffer }[]} frames */
export function closeCodeOf(frames) {
  return frames.find(({ opcode }) => opcode === CLOSE)?.payload.readUInt16BE(0);
}
