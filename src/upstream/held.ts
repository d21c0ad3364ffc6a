// Requests that wait for one upstream to come back: it is dialled every now and then, and they go in order of arrival.
// Made by upstream.ts, which dials. Nobody is served all at once: what has just come up may fall again.

import { Failure, type Fault } from "../core/errors.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import type { UpstreamConnection } from "./connection.ts";

/** Who asks for a connection. Exactly one of `onGranted` and `onUnavailable` is called, unless it gives up before. */
export interface Asker {
  /** It may be held for so many milliseconds, if that is longer than others are. */
  readonly patienceMs: number;
  onGranted(connection: UpstreamConnection): void;
  onUnavailable(failure: Failure): void;
  /** A try to connect failed with this code; the asker still waits. */
  onTried(code: string): void;
}

/** How many requests are held, over all upstreams (`--max-held`). */
export interface HeldCount {
  held: number;
  readonly max: number;
}

/** Called with the connection, or with the code of the failure. */
export type Dialled = (result: UpstreamConnection | string) => void;

/** Somebody who may have to wait. Times are milliseconds of the monotonic clock. */
export interface Waiter {
  asker: Asker;
  halfOpen: boolean;
  arrived: number;
  deadline: number;
  /** Gives up the dial that is made for it just now, if there is one. */
  cancelDial: (() => void) | undefined;
}

/** Between two tries while requests are held. */
const RETRY_EVERY_MS = 250;
/** A try that is so much too late was not made because we stood still. */
const STOOD_STILL_MS = 500;
// A server that has just come up has an accept backlog of 128 to 511: more at once would be dropped and cost 1 s.
const MAX_AT_ONCE = 64;

/** Those who wait for one upstream. */
export class HeldQueue implements Deadline {
  /** Of the next try. On the shared clock: behind a pause of this process what has arrived is read first. */
  due: number = Infinity;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #count: HeldCount;
  readonly #dial: (halfOpen: boolean, done: Dialled) => () => void;
  /** In order of arrival; the first is the one whose turn it is. */
  readonly #waiters: Waiter[] = [];
  #planned = 0;
  #forget: (() => void) | undefined;
  #dials = 0;
  /** How many of those who wait may be served now. */
  #credit = 0;
  /** How many a tick adds when no answers come; 0 while it is away. */
  #step = 0;
  /** Did the last try to connect fail for want of something here? */
  #short = false;

  /**
   * @param about the upstream's name, for failures; how many are held over all upstreams.
   * @param dial tries once to connect; returns the function that gives up.
   */
  constructor(
    about: { name: string; clock: Clock; count: HeldCount },
    dial: (halfOpen: boolean, done: Dialled) => () => void,
  ) {
    this.#name = about.name;
    this.#clock = about.clock;
    this.#count = about.count;
    this.#dial = dial;
  }

  get size(): number {
    return this.#waiters.length;
  }

  /** It could not be connected to: from now on it is away. */
  refused(fault: Fault): void {
    this.#step = this.#credit = 0;
    this.#short = fault === "ours";
  }

  /** It was connected to. */
  reached(): void {
    this.#step ||= 1;
    this.#short = false;
  }

  /** Why there is no connection: it is not there, or we have too many of them. */
  unavailable(): Failure {
    return new Failure(this.#short ? "too_many" : "upstream_unavailable", { upstream: this.#name });
  }

  /** It answered a request. */
  answered(): void {
    if (this.#waiters.length === 0) return;
    this.#credit = Math.min(MAX_AT_ONCE, this.#credit + 2);
    this.#serve();
  }

  /** Answers all of them: nobody is held any more. */
  drain(): void {
    this.#rest();
    for (const waiter of this.#waiters.slice())
      this.#dismiss(waiter, new Failure("draining", { upstream: this.#name }));
  }

  /** Holds it, unless too many are held already. */
  add(waiter: Waiter): void {
    if (this.#count.held >= this.#count.max) {
      return waiter.asker.onUnavailable(new Failure("too_many", { upstream: this.#name }));
    }
    this.#count.held += 1;
    const now = performance.now();
    // Its first dial was answered after its time: that time may have passed while this process stood still. One more try.
    if (waiter.deadline <= now) waiter.deadline = now + RETRY_EVERY_MS * 1.5;
    // By arrival: the dial of one that came earlier may fail later.
    const after = this.#waiters.findLastIndex(({ arrived }) => arrived <= waiter.arrived);
    this.#waiters.splice(after + 1, 0, waiter);
    if (this.#forget) return;
    this.#forget = this.#clock.watch(this);
    this.#plan(now);
  }

  /** Holds it no more, if it is held. */
  leave(waiter: Waiter): void {
    const index = this.#waiters.indexOf(waiter);
    if (index < 0) return;
    this.#waiters.splice(index, 1);
    this.#count.held -= 1;
  }

  #dismiss(waiter: Waiter, why: Failure): void {
    waiter.cancelDial?.();
    this.leave(waiter);
    waiter.asker.onUnavailable(why);
  }

  #plan(now: number): void {
    this.due = this.#planned = now + RETRY_EVERY_MS;
  }

  #rest(): void {
    this.#forget?.();
    this.#forget = undefined;
    this.due = Infinity;
  }

  onDue(now: number): void {
    // The time in which this process stood still is not theirs: nothing was tried in it.
    const lateMs = now - this.#planned;
    if (lateMs > STOOD_STILL_MS) for (const waiter of this.#waiters) waiter.deadline += lateMs;
    this.#plan(now);
    for (const waiter of this.#waiters.filter(({ deadline }) => deadline <= now)) {
      this.#dismiss(waiter, this.unavailable());
    }
    if (this.#waiters.length === 0) {
      this.#rest();
    } else if (this.#step === 0) this.tryOne();
    else {
      // It is there but slow to answer: nobody waits for long because of that.
      this.#step = Math.min(MAX_AT_ONCE, this.#step * 2);
      this.#credit = Math.max(this.#credit, this.#step);
      this.#serve();
    }
  }

  /** One try for all while it is away; also when it may be back. */
  tryOne(): void {
    if (this.#dials > 0) return;
    this.#dialFor(this.#waiters[0], (code) => {
      for (const { asker } of this.#waiters.slice()) asker.onTried(code);
    });
  }

  /**
   * It is back: those who waited are served, the longest waiting first. The first one alone, then two for each answer:
   * a server can die of its first request, and must not take all the POSTs with it that may be sent only once.
   */
  #serve(): void {
    while (this.#credit > 0 && this.#dials < MAX_AT_ONCE) {
      const next = this.#waiters.find(({ cancelDial }) => !cancelDial);
      if (!next) return;
      this.#credit -= 1;
      this.#dialFor(next, (code) => next.asker.onTried(code));
    }
  }

  #dialFor(waiter: Waiter | undefined, failed: (code: string) => void): void {
    if (!waiter) return;
    this.#dials += 1;
    const over = (): void => {
      this.#dials -= 1;
      waiter.cancelDial = undefined;
    };
    const cancel = this.#dial(waiter.halfOpen, (result) => {
      over();
      if (typeof result === "string") return failed(result);
      this.leave(waiter);
      waiter.asker.onGranted(result);
      this.#serve();
    });
    waiter.cancelDial = () => {
      over();
      cancel();
    };
  }
}
