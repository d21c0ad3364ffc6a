// Writes bytes out of the shared read buffer. All upstream connections read into one buffer (upstream/connection.ts),
// so a chunk is valid until the next read only ("borrowed"). Used by exchange and tunnel to relay such chunks.

import type { Writable } from "node:stream";

/** Larger chunks, in bytes, are copied into reusable buffers. */
const SMALL = 4 * 1024;
/** A read, and what makes it a chunk. */
const CARRIER_BYTES = 64 * 1024 + 16;
const CR = 13;
const LF = 10;
const MAX_SPARE = 32;
const spare: Buffer[] = [];

/**
 * Writes a copy of `bytes`; returns what `write` returns. A new buffer for each would be garbage that only a full
 * collection finds: tens of megabytes in a large download.
 */
export function writeLent(to: Writable, bytes: Buffer): boolean {
  return writeCopy(to, bytes.length, (copy) => bytes.copy(copy));
}

/**
 * Writes `bytes` as one chunk of a body (RFC 9112 7.1), in one piece with its size and its line end; as `writeLent`.
 */
export function writeLentChunk(to: Writable, bytes: Buffer): boolean {
  const size = `${bytes.length.toString(16)}\r\n`;
  const end = size.length + bytes.length;
  return writeCopy(to, end + 2, (copy) => {
    copy.write(size, 0, "latin1");
    bytes.copy(copy, size.length);
    copy[end] = CR;
    copy[end + 1] = LF;
  });
}

/** Writes `length` bytes, which `fill` puts into the buffer it is given. */
function writeCopy(to: Writable, length: number, fill: (copy: Buffer) => void): boolean {
  if (length <= SMALL || length > CARRIER_BYTES) {
    const copy = Buffer.allocUnsafe(length);
    fill(copy);
    return to.write(copy);
  }
  const carrier = spare.pop() ?? Buffer.allocUnsafeSlow(CARRIER_BYTES);
  fill(carrier);
  return to.write(carrier.subarray(0, length), () => {
    if (spare.length < MAX_SPARE) spare.push(carrier);
  });
}
