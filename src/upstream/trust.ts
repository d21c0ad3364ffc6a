// Does an upstream keep its word about idle connections? Asked by pool.ts before a request that may be sent only once
// goes on one of them; pure. Times are milliseconds of the monotonic clock.

/** For so long after it was caught, such requests are given fresh connections. A restart looks the same. */
export const DOUBT_MS: number = 10 * 60_000;

/** Of what `Keep-Alive: timeout` promises, this much is relied on. Its timer started before ours, and both may be late. */
const RELIED_ON = 0.5;
/** A connection that ends before this much of it has passed was ended early. */
const KEPT = 0.8;

/** Until when a connection may be used for such a request, and until when it would be ended too early. */
export interface Promised {
  reliedUntil: number;
  keptUntil: number;
}

/** What the upstream has promised for a connection that is idle from `now` on; nothing without a hint. */
export function promisedFrom(now: number, hintMs: number | undefined): Promised {
  const ms = hintMs ?? 0;
  return { reliedUntil: now + ms * RELIED_ON, keptUntil: now + ms * KEPT };
}

/** What is thought of one upstream's promises. */
export class Trust {
  #doubtedUntil = -Infinity;

  /** It ended, reset or wrote to an idle connection that it had promised to keep, or that broke under a request. */
  caught(now: number): void {
    this.#doubtedUntil = now + DOUBT_MS;
  }

  holds(now: number): boolean {
    return now >= this.#doubtedUntil;
  }
}
