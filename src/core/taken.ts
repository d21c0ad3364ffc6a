// How many bytes a peer has acknowledged. Tells a slow reader from a stalled one; used by exchange and tunnel.

import type { Socket } from "node:net";
import { eachConnection, keyOf, Snapshot } from "./tcp-table.ts";

/** Counters of node's socket handle: bytes written to it, and those of them that the kernel has not yet taken. */
interface Handle {
  bytesWritten?: number;
  writeQueueSize?: number;
}

/**
 * How many of all bytes ever written the peer has acknowledged. The number only grows; it stands still while the peer
 * takes nothing. 'drain' cannot tell that: the kernel reports a socket writable when a third of its buffer is free,
 * which can be megabytes, and minutes for a slow reader. Where the kernel does not say what it still holds (other
 * systems than Linux, unix sockets), all bytes that the kernel took are counted.
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

// Two connections with the same pair of ports cannot be told apart: their bytes are added up, so progress on one counts
// for both.
function readHeld(): Map<number, number> {
  const table = new Map<number, number>();
  eachConnection((key, _state, bytes) => {
    if (bytes !== "00000000") table.set(key, (table.get(key) ?? 0) + Number.parseInt(bytes, 16));
  });
  return table;
}
