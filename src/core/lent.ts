// Writes bytes out of the shared read buffer. All upstream connections read into one buffer (upstream/connection.ts),
// so a chunk is valid until the next read only ("borrowed"). Used by exchange and tunnel to relay such chunks.

import type { Writable } from "node:stream";

/** Larger chunks, in bytes, are copied into reusable buffers. */
const SMALL = 4 * 1024;
/** A read, and what makes it a chunk. */
const CARRIER_BYTES = 64 * 1024 + 16;
const LINE_END = "\r\n";
const MAX_SPARE = 32;
const spare: Buffer[] = [];

/**
 * Writes a copy of `bytes`; returns what `write` returns. A new buffer for each would be garbage that only a full
 * collection finds: tens of megabytes in a large download. A small copy is a string of one byte a character: that is
 * cheaper to make than a buffer, and to collect.
 */
export function writeLent(to: Writable, bytes: Buffer): boolean {
  const { length } = bytes;
  if (length <= SMALL) return to.write(bytes.toString("latin1"), "latin1");
  return writeCarried(to, bytes, "", "");
}

/**
 * Writes `bytes` as one chunk of a body (RFC 9112 7.1), in one piece with its size and its line end; as `writeLent`.
 */
export function writeLentChunk(to: Writable, bytes: Buffer): boolean {
  const { length } = bytes;
  const size = length.toString(16) + LINE_END;
  if (length <= SMALL) return to.write(size + bytes.toString("latin1") + LINE_END, "latin1");
  return writeCarried(to, bytes, size, LINE_END);
}

/** Writes a copy of `bytes` between two texts. */
function writeCarried(to: Writable, bytes: Buffer, before: string, after: string): boolean {
  const length = before.length + bytes.length + after.length;
  const carrier = (length <= CARRIER_BYTES && spare.pop()) || Buffer.allocUnsafeSlow(Math.max(length, CARRIER_BYTES));
  bytes.copy(carrier, before.length);
  if (before !== "") carrier.write(before, "latin1");
  if (after !== "") carrier.write(after, before.length + bytes.length, "latin1");
  return to.write(carrier.subarray(0, length), () => {
    if (carrier.length === CARRIER_BYTES && spare.length < MAX_SPARE) spare.push(carrier);
  });
}
