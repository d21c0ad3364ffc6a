// One shared clock for all deadlines. Used by every module that waits for a peer.
// It never touches a socket: the owner of a deadline decides what follows when it has passed.

import { Bag, type Membership } from "./bag.ts";

/** A deadline, once its clock watches it. */
export abstract class Deadline {
  readonly #clock: Clock;
  #due = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** When it is due, in milliseconds of `Clock.now`; Infinity means never. */
  get due(): number {
    return this.#due;
  }

  set due(ms: number) {
    this.#due = ms;
    this.#clock.expect(ms);
  }

  /** Called once when `due` has passed; `due` is set to Infinity before, so the callee sets the next one. */
  abstract onDue(now: number): void;
}

/** Something that happens once. */
class Planned extends Deadline {
  readonly #act: () => void;

  constructor(clock: Clock, act: () => void) {
    super(clock);
    this.#act = act;
  }

  onDue(): void {
    this.#act();
  }
}

/** A tick that is late by more than this many ticks means that the process did not run. */
const FROZEN_TICKS = 4;

/**
 * One interval for all deadlines, not 10,000 timers that are created and cleared on each byte. `onDue` is called within
 * one tick after `due`. A tick looks at the deadlines only when one of them may be due: each of thousands costs a few
 * cache misses, which were a twentieth of the cost of events to 1,000 listeners.
 */
export class Clock {
  /** Monotonic milliseconds, refreshed on each tick. The path of bytes reads this instead of asking the system. */
  now: number = performance.now();
  readonly #tickMs: number;
  readonly #watched = new Bag<Deadline>();
  #timer: NodeJS.Timeout | undefined;
  #ticked = 0;
  /** No deadline is due before this. A deadline that was put off leaves it too early, which costs one look. */
  #earliest = Infinity;
  #forgave = false;

  constructor(tickMs = 50) {
    this.#tickMs = tickMs;
  }

  /** Some deadline is due at `ms`. Called by Deadline only. */
  expect(ms: number): void {
    if (ms < this.#earliest) this.#earliest = ms;
  }

  /** Watches a deadline of this clock until it leaves. */
  watch(deadline: Deadline): Membership {
    const watched = this.#watched.add(deadline);
    this.expect(deadline.due);
    if (!this.#timer) {
      this.refresh();
      this.#ticked = this.now;
      this.#timer = setInterval(() => this.#tick(), this.#tickMs);
      this.#timer.unref();
    }
    return watched;
  }

  /** Calls `act` once, `ms` milliseconds from now; returns the function that cancels it. */
  after(ms: number, act: () => void): () => void {
    const deadline = new Planned(this, () => {
      watched.leave();
      act();
    });
    const watched = this.watch(deadline);
    deadline.due = performance.now() + ms;
    return () => watched.leave();
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
    if (this.now >= this.#earliest) this.#look();
    if (this.#watched.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #look(): void {
    let whole = false;
    this.#earliest = Infinity;
    try {
      this.#watched.forEach((deadline) => {
        const { due } = deadline;
        if (due > this.now) return this.expect(due);
        deadline.due = Infinity;
        deadline.onDue(this.now);
      });
      whole = true;
    } finally {
      // An owner has thrown: those behind it are looked at in the next tick.
      if (!whole) this.#earliest = -Infinity;
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
