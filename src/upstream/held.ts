// The queue of requests that wait for one upstream to come back ("held"). Dials the upstream repeatedly, and then
// releases the requests in order of arrival; gradually, because an upstream that has just come up may crash under a
// burst. Made by upstream.ts, which dials.

import type { Membership } from "../core/bag.ts";
import { Failure, type Fault } from "../core/errors.ts";
import { Deadline, type Clock } from "../core/timer.ts";
import type { UpstreamConnection } from "./connection.ts";

/**
 * A request that asks for a connection. Exactly one of `onGranted` and `onUnavailable` is called, unless the request
 * gives up before.
 */
export interface Asker {
  /** How long the request may be held at least, in milliseconds, even if --hold is shorter. */
  readonly patienceMs: number;
  onGranted(connection: UpstreamConnection): void;
  onUnavailable(failure: Failure): void;
  /** A dial failed with this code; the request still waits. */
  onTried(code: string): void;
}

/** How many requests are held, for all upstreams together (`--max-held`). */
export interface HeldCount {
  held: number;
  readonly max: number;
}

/** Called with the connection, or with the error code. */
export type Dialled = (result: UpstreamConnection | string) => void;

/** A request in the queue. Times are milliseconds of the monotonic clock. */
export interface Waiter {
  asker: Asker;
  halfOpen: boolean;
  arrived: number;
  deadline: number;
  /** Cancels the dial that is in progress for this request, if there is one. */
  cancelDial: (() => void) | undefined;
}

/** Time between two dials while requests are held, in milliseconds. */
const RETRY_EVERY_MS = 250;
/** A dial that is late by more than this, in milliseconds, was late because this process was stopped. */
const STOOD_STILL_MS = 500;
// Max dials in progress. A server's accept queue has 128 to 511 places; a SYN that is dropped costs 1 s.
const MAX_AT_ONCE = 64;

/** The held requests of one upstream. The next dial is due by the shared clock, which lets node read first. */
export class HeldQueue extends Deadline {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #count: HeldCount;
  readonly #dial: (halfOpen: boolean, done: Dialled) => () => void;
  /** In order of arrival. */
  readonly #waiters: Waiter[] = [];
  #planned = 0;
  #watched: Membership | undefined;
  #dials = 0;
  /** How many more requests may be released now. */
  #credit = 0;
  /** How many requests a tick releases when no answers come; 0 while the upstream cannot be reached. */
  #step = 0;
  /** Did the last dial fail because this machine lacks a resource? */
  #short = false;

  /**
   * @param about the upstream's name, for failures; the shared clock and the shared count.
   * @param dial dials once; returns the function that cancels the dial.
   */
  constructor(
    about: { name: string; clock: Clock; count: HeldCount },
    dial: (halfOpen: boolean, done: Dialled) => () => void,
  ) {
    super(about.clock);
    this.#name = about.name;
    this.#clock = about.clock;
    this.#count = about.count;
    this.#dial = dial;
  }

  get size(): number {
    return this.#waiters.length;
  }

  /** A dial failed: releases no more requests. */
  refused(fault: Fault): void {
    this.#step = this.#credit = 0;
    this.#short = fault === "ours";
  }

  /** A dial succeeded. */
  reached(): void {
    this.#step ||= 1;
    this.#short = false;
  }

  /**
   * The failure for a request without a connection: the upstream cannot be reached, or this machine lacks a resource.
   */
  unavailable(): Failure {
    return new Failure(this.#short ? "too_many" : "upstream_unavailable", { upstream: this.#name });
  }

  /** The upstream answered a request: releases two more. */
  answered(): void {
    if (this.#waiters.length === 0) return;
    this.#credit = Math.min(MAX_AT_ONCE, this.#credit + 2);
    this.#serve();
  }

  /** Refuses all held requests. */
  drain(): void {
    this.#rest();
    for (const waiter of this.#waiters.slice())
      this.#dismiss(waiter, new Failure("draining", { upstream: this.#name }));
  }

  /** Adds a request, unless too many are held already. */
  add(waiter: Waiter): void {
    if (this.#count.held >= this.#count.max) {
      return waiter.asker.onUnavailable(new Failure("too_many", { upstream: this.#name }));
    }
    this.#count.held += 1;
    const now = performance.now();
    // The hold is over already when the first dial has failed: this process may have been stopped meanwhile. One more
    // dial.
    if (waiter.deadline <= now) waiter.deadline = now + RETRY_EVERY_MS * 1.5;
    // Sorted in: the first dial of an earlier request may fail later.
    const after = this.#waiters.findLastIndex(({ arrived }) => arrived <= waiter.arrived);
    this.#waiters.splice(after + 1, 0, waiter);
    if (this.#watched) return;
    this.#watched = this.#clock.watch(this);
    this.#plan(now);
  }

  /** Removes a request, if it is held. */
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
    this.#watched?.leave();
    this.#watched = undefined;
    this.due = Infinity;
  }

  onDue(now: number): void {
    // While this process was stopped no dial was made, so that time does not count for the hold.
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
      // The upstream is reachable but slow to answer: doubles the number of requests that are released at each tick.
      this.#step = Math.min(MAX_AT_ONCE, this.#step * 2);
      this.#credit = Math.max(this.#credit, this.#step);
      this.#serve();
    }
  }

  /**
   * Dials once, for the first request, unless a dial is in progress: while the upstream is away, or when it may be
   * back.
   */
  tryOne(): void {
    if (this.#dials > 0) return;
    this.#dialFor(this.#waiters[0], (code) => {
      for (const { asker } of this.#waiters.slice()) asker.onTried(code);
    });
  }

  /**
   * Releases requests, the longest held first, as far as the credit goes. The first one goes alone, then two for each
   * answer: a server may crash on its first request, and must not take POSTs with it, which cannot be sent again.
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
