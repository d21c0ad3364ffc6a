// Decides for one side of a tunnel when to ping it, and when it is dead. limits.ts asks; tunnel.ts acts.
// Pure. Times are milliseconds of the shared clock.

/** Times in milliseconds. */
export interface LivenessOptions {
  /** A ping is sent after this much silence; 0 turns pings off. */
  intervalMs: number;
  /** A side from which no byte comes for this long after a ping counts as half-open. */
  timeoutMs: number;
}

/** The liveness of one side. */
export class Liveness {
  /** When the last byte came from this side. */
  lastByte: number;
  /** Round-trip time of the last ping that was answered, in milliseconds. */
  rttMs: number | undefined;
  /** When the last pong came from this side. */
  lastPong: number | undefined;
  readonly #options: LivenessOptions;
  #asked: number | undefined;
  #graceMs = 0;
  #excused = 0;

  constructor(options: LivenessOptions, now: number) {
    this.#options = options;
    this.lastByte = now;
  }

  /** What is due now? For "ask", the caller sends a ping at the next frame boundary, and then calls `asked`. */
  verdict(now: number): "fine" | "ask" | "dead" {
    if (now < this.nextDue()) return "fine";
    return this.#owedSince() !== undefined ? "dead" : "ask";
  }

  /** When to call `verdict` again. */
  nextDue(): number {
    const { intervalMs, timeoutMs } = this.#options;
    if (intervalMs === 0) return Infinity;
    const asked = this.#owedSince();
    if (asked !== undefined) return Math.max(asked, this.#excused) + timeoutMs + this.#graceMs;
    return Math.max(this.lastByte, this.#excused) + intervalMs;
  }

  /**
   * A ping was sent.
   *
   * @param graceMs how long the unread bytes in front of the ping may take.
   */
  asked(now: number, graceMs = 0): void {
    this.#asked = now;
    this.#graceMs = graceMs;
  }

  /** Restarts the silence timer: until now this side could not be read, or not be pinged. */
  excuse(now: number): void {
    this.#excused = now;
  }

  /** The pong came, `rttMs` after the ping was written. */
  answered(now: number, rttMs: number): void {
    this.#asked = undefined;
    this.lastPong = now;
    this.rttMs = rttMs;
  }

  /**
   * Since when an answer to a ping is due. Any byte counts as one: a pong comes behind the bytes that the peer is
   * sending.
   */
  #owedSince(): number | undefined {
    return this.#asked !== undefined && this.lastByte < this.#asked ? this.#asked : undefined;
  }
}
