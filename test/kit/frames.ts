// WebSocket frames by hand, for raw peers: whole ones, half ones, and what a peer has to answer to stay alive.

import type { RawClient } from "./client.ts";

/** Opcodes of the frames that the table looks at (RFC 6455 5.2). */
export const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

/** One frame. */
export interface Frame {
  opcode: number;
  payload: Buffer;
}

/** The header of a final frame; `masked` as a client sends it, with a mask of zeros: the payload stays as it is. */
export function frameHead(opcode: number, length: number, masked: boolean): Buffer {
  const extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
  const short = Buffer.from([
    0x80 | opcode,
    (masked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127),
  ]);
  const long = Buffer.alloc(extended);
  if (extended > 0) long.writeUIntBE(length, extended === 2 ? 0 : 2, extended === 2 ? 2 : 6);
  return Buffer.concat([short, long, Buffer.alloc(masked ? 4 : 0)]);
}

/** The bytes of a final frame. */
export function frame(opcode: number, payload: Buffer, masked: boolean): Buffer {
  return Buffer.concat([frameHead(opcode, payload.length, masked), payload]);
}

/** The whole frames at the beginning of `bytes`. */
export function framesIn(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  let at = 0;
  for (;;) {
    if (bytes.length < at + 2) return frames;
    const [first = 0, second = 0] = bytes.subarray(at);
    const short = second & 0x7f;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    const maskAt = at + 2 + extended;
    const start = maskAt + (second & 0x80 ? 4 : 0);
    if (bytes.length < start) return frames;
    const length = extended === 0 ? short : bytes.readUIntBE(extended === 2 ? at + 2 : at + 4, extended === 2 ? 2 : 6);
    if (bytes.length < start + length) return frames;
    const payload = Buffer.from(bytes.subarray(start, start + length));
    if (second & 0x80)
      for (let i = 0; i < length; i += 1) payload[i] = (payload[i] ?? 0) ^ (bytes[maskAt + (i % 4)] ?? 0);
    frames.push({ opcode: first & 0x0f, payload });
    at = start + length;
  }
}

/** The frames a raw peer got behind the head of its handshake. */
export function framesOf(peer: RawClient): Frame[] {
  const text = peer.received();
  const start = text.indexOf("\r\n\r\n");
  return start < 0 ? [] : framesIn(Buffer.from(text.slice(start + 4), "latin1"));
}

/** Status code of the Close frame a raw peer got, undefined without one. */
export function closeCode(peer: RawClient): number | undefined {
  return framesOf(peer)
    .find(({ opcode }) => opcode === CLOSE)
    ?.payload.readUInt16BE(0);
}

/** Makes a raw peer answer pings. `masked` for a client. */
export function answerPings(peer: RawClient, masked: boolean): void {
  let answered = 0;
  peer.socket.on("data", () => {
    const pings = framesOf(peer).filter(({ opcode }) => opcode === PING);
    for (const { payload } of pings.slice(answered)) peer.send(frame(PONG, payload, masked));
    answered = pings.length;
  });
}
