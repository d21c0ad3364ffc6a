// The rule for stalled readers: how long a peer may acknowledge none of the bytes that wait for it. exchange and tunnel
// keep one Backlog for each side they write to. Pure: the caller passes the time and what the peer has taken.

/**
 * The first check of a blocked peer comes after this part of its limit. Not at once: most writes are blocked for a
 * moment only, and each check reads the kernel's table of connections (taken.ts).
 */
export const FIRST_LOOK: number = 1 / 16;
/** Later checks come after each such part of the limit. A stalled peer is found at most this much too late. */
export const NEXT_LOOK: number = 1 / 4;

/** The stall timer of one peer. Times are milliseconds of the shared clock (timer.ts). */
export class Backlog {
  readonly #limitMs: number;
  #since: number | undefined;
  /** What the peer had taken at the last look. */
  #taken: number | undefined;

  /** @param limitMs a peer that takes no byte for so long is late; 0 means never. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Do bytes wait for the peer, so that its stall timer runs? */
  get waits(): boolean {
    return this.#since !== undefined;
  }

  /** Bytes wait from now on: starts the stall timer. Returns when to check the peer first. */
  begin(now: number): number {
    this.#since = now;
    this.#taken = undefined;
    return this.#limitMs > 0 ? now + this.#limitMs * FIRST_LOOK : Infinity;
  }

  /** No bytes wait any more: stops the stall timer. */
  over(): void {
    this.#since = undefined;
  }

  /**
   * Has the peer taken nothing for longer than the limit? A slow reader is not stalled: each byte it takes restarts the
   * timer.
   *
   * @param taken all bytes that the peer has acknowledged since the socket was opened.
   */
  isLate(now: number, taken: number): boolean {
    if (this.#since === undefined) return false;
    if (this.#taken !== undefined && this.#taken !== taken) this.#since = now;
    this.#taken = taken;
    return this.#limitMs > 0 && now >= this.#since + this.#limitMs;
  }

  /** When to check the peer again: when the limit is over, and a few times before. */
  nextLook(now: number): number {
    if (this.#since === undefined || this.#limitMs === 0) return Infinity;
    return Math.min(this.#since + this.#limitMs, now + this.#limitMs * NEXT_LOOK);
  }
}
