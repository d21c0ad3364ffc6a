// Bytes that are only lent: they stand in the one buffer that every connection to an upstream is read into, until the
// next read (upstream/connection.ts). Used by the relay to write them on.

import type { Writable } from "node:stream";

/** Pieces above this, in bytes, are copied into buffers that are used again. */
const SMALL = 4 * 1024;
const CARRIER_BYTES = 64 * 1024;
const MAX_SPARE = 32;
const spare: Buffer[] = [];

/**
 * Writes a copy of `bytes`; returns what `write` returns. A new buffer for each would be garbage that only a full
 * collection finds: tens of megabytes in a large download.
 */
export function writeLent(to: Writable, bytes: Buffer): boolean {
  if (bytes.length <= SMALL || bytes.length > CARRIER_BYTES) return to.write(Buffer.from(bytes));
  const carrier = spare.pop() ?? Buffer.allocUnsafeSlow(CARRIER_BYTES);
  bytes.copy(carrier);
  return to.write(carrier.subarray(0, bytes.length), () => {
    if (spare.length < MAX_SPARE) spare.push(carrier);
  });
}
