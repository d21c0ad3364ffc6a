// Has a peer left that is not read from? A paused socket is out of node's poll set, so neither FIN nor RST is heard.
// Asked by front/client-limits.ts for clients whose requests or bodies nobody takes, and by tunnels for theirs.

import type { Socket } from "node:net";
import type { How } from "./errors.ts";
import { isReset } from "./sockets.ts";
import { CLOSE_WAIT, eachConnection, ESTABLISHED, keyOf, Snapshot } from "./tcp-table.ts";
import type { Clock, Deadline } from "./timer.ts";

/** A peer that is not read from is looked for so often, in milliseconds. */
const LOOK_MS = 2000;

/** Looks whether a peer is still there while it is not read from. */
export class UnreadWatch implements Deadline {
  due: number = Infinity;
  /** Looks no more, ever. */
  readonly forget: () => void;
  readonly #clock: Clock;
  readonly #departed: () => How | undefined;
  readonly #onDeparted: (how: How) => void;

  /**
   * @param hasDeparted asked every two seconds while nothing is read.
   * @param onDeparted told how the peer left, once for each `begin`.
   */
  constructor(clock: Clock, hasDeparted: () => How | undefined, onDeparted: (how: How) => void) {
    this.#clock = clock;
    this.#departed = hasDeparted;
    this.#onDeparted = onDeparted;
    this.forget = clock.watch(this);
  }

  /** Nothing is read from the peer any more. */
  begin(): void {
    this.due = this.#clock.now + LOOK_MS;
  }

  /** The peer is read from again, and so what it does is noticed. */
  over(): void {
    this.due = Infinity;
  }

  onDue(now: number): void {
    const how = this.#departed();
    this.due = how ? Infinity : now + LOOK_MS;
    if (how) this.#onDeparted(how);
  }
}

const closing = new Snapshot(readClosing);

/**
 * How the peer of a socket left; undefined while it is there, and where nobody can tell: a unix socket, and the FIN of a
 * peer on a system without /proc/net/tcp. A peer that vanished is found by TCP keepalive and looks like a RST.
 */
export function departed(socket: Socket): How | undefined {
  if (isReset(socket)) return "rst";
  const { localPort, remotePort } = socket;
  if (localPort === undefined || remotePort === undefined) return undefined;
  return closing.value.has(keyOf(localPort, remotePort)) ? "fin" : undefined;
}

/** The connections whose peer has sent FIN. Of two with the same ports one that stands speaks for both. */
function readClosing(): Set<number> {
  const found = new Set<number>();
  const standing = new Set<number>();
  eachConnection((key, state) => {
    if (state === CLOSE_WAIT) found.add(key);
    else if (state === ESTABLISHED) standing.add(key);
  });
  for (const key of standing) found.delete(key);
  return found;
}
