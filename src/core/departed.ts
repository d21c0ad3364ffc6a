// Finds out that the peer of a paused socket has closed or reset. Node does not poll a paused socket, so it reports
// neither FIN nor RST there. Used by front/client-limits.ts for clients that are not being read, and by tunnels.

import type { Socket } from "node:net";
import type { Membership } from "./bag.ts";
import type { How } from "./errors.ts";
import { isReset } from "./sockets.ts";
import { CLOSE_WAIT, eachConnection, ESTABLISHED, keyOf, Snapshot } from "./tcp-table.ts";
import { Deadline, type Clock } from "./timer.ts";

/** Time between two checks of a paused socket, in milliseconds. */
const LOOK_MS = 2000;

/** Checks repeatedly, while a socket is paused, whether its peer is still there. */
export class UnreadWatch extends Deadline {
  readonly #clock: Clock;
  readonly #departed: () => How | undefined;
  readonly #onDeparted: (how: How) => void;
  readonly #watched: Membership;

  /**
   * @param hasDeparted called every two seconds while the socket is paused.
   * @param onDeparted called with how the peer left, at most once for each `begin`.
   */
  constructor(clock: Clock, hasDeparted: () => How | undefined, onDeparted: (how: How) => void) {
    super(clock);
    this.#clock = clock;
    this.#departed = hasDeparted;
    this.#onDeparted = onDeparted;
    this.#watched = clock.watch(this);
  }

  /** The socket was paused: starts checking. */
  begin(): void {
    this.due = this.#clock.now + LOOK_MS;
  }

  /** The socket was resumed: stops checking, because node reports FIN and RST again. */
  over(): void {
    this.due = Infinity;
  }

  /** Ends the watch for good; to be called when the socket is closed. */
  stop(): void {
    this.#watched.leave();
  }

  onDue(now: number): void {
    const how = this.#departed();
    this.due = how ? Infinity : now + LOOK_MS;
    if (how) this.#onDeparted(how);
  }
}

const closing = new Snapshot(readClosing);

/**
 * How the peer of a socket left. Undefined while the peer is there, and where it cannot be known: on a unix socket, and
 * after a FIN on a system without /proc/net/tcp. A peer that TCP keepalive has found dead looks like a RST.
 */
export function departed(socket: Socket): How | undefined {
  if (isReset(socket)) return "rst";
  const { localPort, remotePort } = socket;
  if (localPort === undefined || remotePort === undefined) return undefined;
  return closing.value.has(keyOf(localPort, remotePort)) ? "fin" : undefined;
}

/**
 * The connections whose peer has sent FIN. Two connections with the same pair of ports cannot be told apart: while one
 * of them is established, neither counts.
 */
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
