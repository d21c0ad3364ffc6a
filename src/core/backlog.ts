// Bytes that wait for one peer, and how long the peer may take none of them: the rule for stalled readers. Used by
// exchange and tunnel for every side that they write to. Pure: it is told the time and what the peer has taken.

/**
 * A peer is looked at after this part of its time. Not at once: most peers that are blocked are so for a moment, and to
 * look costs a table of all connections (taken.ts).
 */
export const FIRST_LOOK: number = 1 / 16;
/** And then after each of these parts: so much later than its time is over, a stalled peer may be found out. */
export const NEXT_LOOK: number = 1 / 4;

/** The time of one peer. Times are milliseconds of the shared clock. */
export class Backlog {
  readonly #limitMs: number;
  #since: number | undefined;
  /** What the peer had taken at the last look. */
  #taken: number | undefined;

  /** @param limitMs a peer that takes no byte for so long is late; 0 means never. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Does the peer's time run? */
  get waits(): boolean {
    return this.#since !== undefined;
  }

  /** From now on bytes wait: the peer's time begins anew. Returns when to look. */
  begin(now: number): number {
    this.#since = now;
    this.#taken = undefined;
    return this.#limitMs > 0 ? now + this.#limitMs * FIRST_LOOK : Infinity;
  }

  /** No bytes wait any more. */
  over(): void {
    this.#since = undefined;
  }

  /**
   * Has the peer taken nothing for too long? A slow reader is no stalled one: what it takes begins its time anew.
   *
   * @param taken all bytes that the peer ever took.
   */
  isLate(now: number, taken: number): boolean {
    if (this.#since === undefined) return false;
    if (this.#taken !== undefined && this.#taken !== taken) this.#since = now;
    this.#taken = taken;
    return this.#limitMs > 0 && now >= this.#since + this.#limitMs;
  }

  /** When to look again, after a look: when the time is over, and a few times before. */
  nextLook(now: number): number {
    if (this.#since === undefined || this.#limitMs === 0) return Infinity;
    return Math.min(this.#since + this.#limitMs, now + this.#limitMs * NEXT_LOOK);
  }
}
