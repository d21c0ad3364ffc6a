// How much a peer has taken of what was written for it. Asked by the relay before it calls a slow reader a stalled one.

import type { Socket } from "node:net";
import { eachConnection, keyOf, Snapshot } from "./tcp-table.ts";

/** What node's handle knows of a socket: bytes it was given, and those of them that the kernel has not. */
interface Handle {
  bytesWritten?: number;
  writeQueueSize?: number;
}

/**
 * How many bytes of those that were ever written the peer has acknowledged: it only grows, and it stands still when the
 * peer takes nothing. `drain` does not tell: the kernel says that there is room again when a third of its buffer is
 * free, and that can be megabytes, minutes for a slow reader. Where the kernel does not say what it holds (not Linux, a
 * unix socket), what it was given is what counts.
 */
export function takenBytes(socket: Socket): number {
  const handle: Handle = (socket as { _handle?: Handle | null })._handle ?? {};
  return (handle.bytesWritten ?? 0) - (handle.writeQueueSize ?? 0) - heldByKernel(socket);
}

const held = new Snapshot(readHeld);

function heldByKernel({ localPort, remotePort }: Socket): number {
  if (localPort === undefined || remotePort === undefined) return 0;
  return held.value.get(keyOf(localPort, remotePort)) ?? 0;
}

// Of two with the same ports the bytes are added up, and one that moves speaks for both.
function readHeld(): Map<number, number> {
  const table = new Map<number, number>();
  eachConnection((key, _state, bytes) => {
    if (bytes !== "00000000") table.set(key, (table.get(key) ?? 0) + Number.parseInt(bytes, 16));
  });
  return table;
}
