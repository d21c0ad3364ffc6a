// Does the upstream keep idle connections open for as long as its Keep-Alive field promises? Asked by pool.ts before it
// uses one for a request that may be sent only once. Pure; times are milliseconds of the monotonic clock.

/**
 * After a broken promise, such requests get fresh connections for this long, in milliseconds. A restart looks the same.
 */
export const DOUBT_MS: number = 10 * 60_000;

/** This part of `Keep-Alive: timeout` is relied on: the upstream's timer started earlier, and both may be late. */
const RELIED_ON = 0.5;
/** A connection that the upstream closes before this part has passed is a broken promise. */
const KEPT = 0.8;

/** Until when a connection may be used for such a request, and until when closing it breaks the promise. */
export interface Promised {
  reliedUntil: number;
  keptUntil: number;
}

/** The promise for a connection that is idle from `now` on; without a Keep-Alive field there is none. */
export function promisedFrom(now: number, hintMs: number | undefined): Promised {
  const ms = hintMs ?? 0;
  return { reliedUntil: now + ms * RELIED_ON, keptUntil: now + ms * KEPT };
}

/** The trust in one upstream's promises. */
export class Trust {
  #doubtedUntil = -Infinity;

  /** The upstream broke a promise: it ended, reset or wrote to an idle connection, or broke it under a request. */
  caught(now: number): void {
    this.#doubtedUntil = now + DOUBT_MS;
  }

  holds(now: number): boolean {
    return now >= this.#doubtedUntil;
  }
}
