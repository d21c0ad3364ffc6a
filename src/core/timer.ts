// One shared clock for all deadlines. Used by every module that waits for a peer.
// It never touches a socket: the owner of a deadline decides what follows when it has passed.

import { Bag } from "./bag.ts";

/** A deadline. `due` is in milliseconds of `Clock.now`; Infinity means never. */
export interface Deadline {
  due: number;
  /** Called once when `due` has passed; `due` is set to Infinity before, so the callee sets the next one. */
  onDue(now: number): void;
}

/** A tick that is late by more than this many ticks means that the process did not run. */
const FROZEN_TICKS = 4;

/**
 * One interval for all deadlines: 10,000 tunnels cost 10,000 comparisons for each tick, not 10,000 timers that are
 * created and cleared on each byte. `onDue` is called within one tick after `due`.
 */
export class Clock {
  /** Monotonic milliseconds, refreshed on each tick. The path of bytes reads this instead of asking the system. */
  now: number = performance.now();
  readonly #tickMs: number;
  readonly #watched = new Bag<Deadline>();
  #timer: NodeJS.Timeout | undefined;
  #ticked = 0;
  #forgave = false;

  constructor(tickMs = 50) {
    this.#tickMs = tickMs;
  }

  /** Adds a deadline; returns the function that removes it. */
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

  /** Calls `act` once, `ms` milliseconds from now; returns the function that cancels it. */
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

  /** Updates `now` between two ticks, for callers that compare it with the time of bytes that come next. */
  refresh(): void {
    this.now = performance.now();
  }

  #tick(): void {
    this.refresh();
    const gap = this.now - this.#ticked;
    this.#ticked = this.now;
    // This process itself was stopped (SIGSTOP, a starved machine), so a peer that looks late may have sent bytes that
    // are still unread. They are read before the next tick: skip this one. Never two in a row, or a machine that is
    // always slow would have no deadlines.
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
