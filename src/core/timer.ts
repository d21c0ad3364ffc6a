// Waiting, in one place: one clock for all deadlines of exchanges. Used by every room that waits for a peer.
// It never touches sockets; who is late decides itself what follows.

import { Bag } from "./bag.ts";

/** Something that may become late. `due` is in milliseconds of `Clock.now`; Infinity means never. */
export interface Deadline {
  due: number;
  /** Called once when `due` has passed; `due` is set to Infinity before, so the callee sets the next one. */
  onDue(now: number): void;
}

/** A clock that ticks so much too late was not run. */
const FROZEN_TICKS = 4;

/**
 * One timer for every deadline there is: 10,000 tunnels are one interval and 10,000 comparisons, not 10,000
 * timers that are created and cleared on each byte. A deadline is met within one tick after it is due.
 */
export class Clock {
  /** Monotonic milliseconds, refreshed on each tick: what the hot path reads instead of asking the system. */
  now: number = performance.now();
  readonly #tickMs: number;
  readonly #watched = new Bag<Deadline>();
  #timer: NodeJS.Timeout | undefined;
  #ticked = 0;
  #forgave = false;

  constructor(tickMs = 50) {
    this.#tickMs = tickMs;
  }

  /** Watches a deadline; returns the function that forgets it. */
  watch(deadline: Deadline): () => void {
    const forget = this.#watched.add(deadline);
    if (!this.#timer) {
      this.refresh();
      this.#ticked = this.now;
      this.#timer = setInterval(() => this.#tick(), this.#tickMs);
      this.#timer.unref();
    }
    return forget;
  }

  /** Calls `act` once, `ms` milliseconds from now; returns the function that calls it off. */
  after(ms: number, act: () => void): () => void {
    const deadline: Deadline = {
      due: Infinity,
      onDue: () => {
        forget();
        act();
      },
    };
    const forget = this.watch(deadline);
    deadline.due = performance.now() + ms;
    return forget;
  }

  /** Reads the clock between two ticks: bytes that come later than this are not taken for older ones. */
  refresh(): void {
    this.now = performance.now();
  }

  #tick(): void {
    this.refresh();
    const gap = this.now - this.#ticked;
    this.#ticked = this.now;
    // We were the ones who stood still (SIGSTOP, a starved machine). What came in the meantime is read before the next
    // tick; only then is it known who is late. Never twice in a row, or a slow machine would have no deadlines.
    this.#forgave = gap > this.#tickMs * FROZEN_TICKS && !this.#forgave;
    if (this.#forgave) return;
    this.#watched.forEach((deadline) => {
      if (deadline.due > this.now) return;
      deadline.due = Infinity;
      deadline.onDue(this.now);
    });
    if (this.#watched.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

/** Resolves after `ms`, or at once when `signal` is aborted. Keeps the process alive. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}
