// Is one side of a tunnel still there? Decides when to ping and when to give up; tunnel.ts acts (SPEC 4.3).
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
  lastPong: number | undefined;
  readonly #options: LivenessOptions;
  #asked: number | undefined;

  constructor(options: LivenessOptions, now: number) {
    this.#options = options;
    this.lastByte = now;
  }

  /** What is due now? A ping is to be sent at the next frame boundary; `asked` is called when it was. */
  verdict(now: number): "fine" | "ask" | "dead" {
    if (this.#options.intervalMs === 0) return "fine";
    if (this.#asked !== undefined && this.lastByte >= this.#asked) this.#asked = undefined;
    if (this.#asked !== undefined) return now >= this.#asked + this.#options.timeoutMs ? "dead" : "fine";
    return now >= this.lastByte + this.#options.intervalMs ? "ask" : "fine";
  }

  /** When to look again. */
  nextDue(): number {
    if (this.#options.intervalMs === 0) return Infinity;
    if (this.#asked !== undefined && this.lastByte < this.#asked) return this.#asked + this.#options.timeoutMs;
    return this.lastByte + this.#options.intervalMs;
  }

  asked(now: number): void {
    this.#asked = now;
  }

  /** The pong came, so long after the ping was written. */
  answered(now: number, rttMs: number): void {
    this.#asked = undefined;
    this.lastPong = now;
    this.rttMs = rttMs;
  }
}
