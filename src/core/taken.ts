// How much a peer has taken of what was written for it. Asked by the relay before it calls a slow reader a stalled one.

import { readFileSync } from "node:fs";
import type { Socket } from "node:net";

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

/** A table that is older is read anew. Those who ask in the same moment, as after an outage, share one. */
const FRESH_MS = 50;

let held = new Map<number, number>();
let readAt = -Infinity;

function heldByKernel({ localPort, remotePort }: Socket): number {
  if (localPort === undefined || remotePort === undefined) return 0;
  const now = performance.now();
  if (now - readAt > FRESH_MS) {
    held = readTables();
    readAt = now;
  }
  return held.get(keyOf(localPort, remotePort)) ?? 0;
}

// Peers of two addresses may share a pair of ports. Then their bytes are added up, and one that moves speaks for both.
function keyOf(localPort: number, remotePort: number): number {
  return localPort * 65536 + remotePort;
}

/** Of a line `0: 0100007F:0BB8 0100007F:C350 01 0000002A:00000000 ...`: both ports, and the bytes that are not acknowledged. */
const LINE = /^ *\d+: [\dA-F]+:([\dA-F]{4}) [\dA-F]+:([\dA-F]{4}) [\dA-F]{2} ([\dA-F]{8}):/gm;

function readTables(): Map<number, number> {
  const table = new Map<number, number>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const [, local = "", remote = "", bytes = ""] of textOf(file).matchAll(LINE)) {
      if (bytes === "00000000") continue;
      const key = keyOf(Number.parseInt(local, 16), Number.parseInt(remote, 16));
      table.set(key, (table.get(key) ?? 0) + Number.parseInt(bytes, 16));
    }
  }
  return table;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}
