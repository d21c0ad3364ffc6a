// The kernel's table of TCP connections, where there is one (Linux). Read by taken.ts and departed.ts for what node does
// not know of a socket.

import { readFileSync } from "node:fs";

/** A line `0: 0100007F:0BB8 0100007F:C350 01 0000002A:00000000 ...`: both ports, the state, the bytes not acknowledged. */
const LINE = /^ *\d+: [\dA-F]+:([\dA-F]{4}) [\dA-F]+:([\dA-F]{4}) ([\dA-F]{2}) ([\dA-F]{8}):/gm;

/** States of a connection (include/net/tcp_states.h). */
export const ESTABLISHED = "01";
/** The peer's FIN has come, and ours has not gone out. */
export const CLOSE_WAIT = "08";

/**
 * Visits each connection of this machine.
 *
 * @param visit `unacknowledged` are the bytes that the kernel holds for the peer, as hexadecimal digits.
 */
export function eachConnection(visit: (key: number, state: string, unacknowledged: string) => void): void {
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const [, local = "", remote = "", state = "", bytes = ""] of textOf(file).matchAll(LINE)) {
      visit(keyOf(Number.parseInt(local, 16), Number.parseInt(remote, 16)), state, bytes);
    }
  }
}

/** A connection by its ports. Peers of two addresses may share a pair of them. */
export function keyOf(localPort: number, remotePort: number): number {
  return localPort * 65536 + remotePort;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

/** A table that is older is read anew. Those who ask in the same moment, as after an outage, share one. */
const FRESH_MS = 50;
/** Of the time, so much goes into reading: a machine may have ten thousands of connections, and many ask. */
const SHARE = 1 / 20;
/** A socket that is asked about is older than this, or the table could tell of another one that had its ports before. */
const STALE_MS = 1000;

/** What was read of the table last, for as long as it is fresh. */
export class Snapshot<T> {
  readonly #read: () => T;
  #value: T | undefined;
  #staleAt = -Infinity;

  constructor(read: () => T) {
    this.#read = read;
  }

  get value(): T {
    const began = performance.now();
    if (this.#value !== undefined && began < this.#staleAt) return this.#value;
    this.#value = this.#read();
    const now = performance.now();
    this.#staleAt = now + Math.min(STALE_MS, Math.max(FRESH_MS, (now - began) / SHARE));
    return this.#value;
  }
}
