// Reads the kernel's table of TCP connections (/proc/net/tcp, Linux only). Used by taken.ts and departed.ts for what
// node does not know about a socket.

import { readFileSync } from "node:fs";

/**
 * A line `0: 0100007F:0BB8 0100007F:C350 01 0000002A:00000000 ...`: both ports, the state, the bytes not acknowledged.
 */
const LINE = /^ *\d+: [\dA-F]+:([\dA-F]{4}) [\dA-F]+:([\dA-F]{4}) ([\dA-F]{2}) ([\dA-F]{8}):/gm;

/** States of a connection (include/net/tcp_states.h). */
export const ESTABLISHED = "01";
/** The peer has sent FIN, and this side has not. */
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

/** A connection's key: its two ports. Connections of two remote addresses may share a key. */
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

/** How long a read of the table is reused, in milliseconds: many sockets ask in the same moment after an outage. */
const FRESH_MS = 50;
/** At most this part of the process's time goes into reading: the table may hold tens of thousands of connections. */
const SHARE = 1 / 20;
/**
 * The longest reuse, in milliseconds. Callers ask about sockets that have been open for longer, so an old read never
 * describes an earlier connection with the same ports.
 */
const STALE_MS = 1000;

/** A cached value of the table, read again when it is too old. */
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
