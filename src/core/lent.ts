// Writes bytes out of the shared read buffer. All upstream connections read into one buffer (upstream/connection.ts),
// so a chunk is valid until the next read only ("borrowed"). Used by exchange and tunnel to relay such chunks.

import type { Writable } from "node:stream";

/** Larger chunks, in bytes, are copied into reusable buffers. */
const SMALL = 4 * 1024;
const CARRIER_BYTES = 64 * 1024;
const MAX_SPARE = 32;
const spare: Buffer[] = [];

/**
 * Writes a copy of `bytes`; returns what `write` returns. The copy goes into a reused buffer: a new one for each chunk
 * would be garbage that only a full collection frees, tens of megabytes in a large download.
 */
export function writeLent(to: Writable, bytes: Buffer): boolean {
  if (bytes.length <= SMALL || bytes.length > CARRIER_BYTES) return to.write(Buffer.from(bytes));
  const carrier = spare.pop() ?? Buffer.allocUnsafeSlow(CARRIER_BYTES);
  bytes.copy(carrier);
  return to.write(carrier.subarray(0, bytes.length), () => {
    if (spare.length < MAX_SPARE) spare.push(carrier);
  });
}
