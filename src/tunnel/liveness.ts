// Is one side of a tunnel still there? Decides when to ping and when to give up; tunnel.ts acts.
// Pure: fed with times, returns what to do. Times are milliseconds of the shared clock.

/** Intervals; `intervalMs` 0 turns pings off. */
export interface LivenessOptions {
  /** Silence after which a side is asked. */
  intervalMs: number;
  /** Silence after the question that makes it half-open. */
  timeoutMs: number;
}

/** One side. */
export class Liveness {
  /** When its last byte came. */
  lastByte: number;
  /** Round-trip time of the last ping that was answered, in milliseconds. */
  rttMs: number | undefined;
  /** When its last pong came. */
  lastPong: number | undefined;
  readonly #options: LivenessOptions;
  #asked: number | undefined;
  #graceMs = 0;
  #excused = 0;

  constructor(options: LivenessOptions, now: number) {
    this.#options = options;
    this.lastByte = now;
  }

  /** What is due now? A ping is to be sent at the next frame boundary; `asked` is called when it was. */
  verdict(now: number): "fine" | "ask" | "dead" {
    if (now < this.nextDue()) return "fine";
    return this.#owedSince() !== undefined ? "dead" : "ask";
  }

  /** When to look again. */
  nextDue(): number {
    const { intervalMs, timeoutMs } = this.#options;
    if (intervalMs === 0) return Infinity;
    const asked = this.#owedSince();
    if (asked !== undefined) return Math.max(asked, this.#excused) + timeoutMs + this.#graceMs;
    return Math.max(this.lastByte, this.#excused) + intervalMs;
  }

  /**
   * It was asked.
   *
   * @param graceMs what lies in front of the question may take this long to get there.
   */
  asked(now: number, graceMs = 0): void {
    this.#asked = now;
    this.#graceMs = graceMs;
  }

  /** Until now it could not be heard, or not be asked, and that was not its fault: its silence begins here. */
  excuse(now: number): void {
    this.#excused = now;
  }

  /** The pong came, so long after the ping was written. */
  answered(now: number, rttMs: number): void {
    this.#asked = undefined;
    this.lastPong = now;
    this.rttMs = rttMs;
  }

  /** Since when an answer is owed. Any byte is one: a pong has to wait behind what its side is sending. */
  #owedSince(): number | undefined {
    return this.#asked !== undefined && this.lastByte < this.#asked ? this.#asked : undefined;
  }
}
