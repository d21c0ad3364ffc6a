// The last minutes, second by second, and what ended badly of late: what charts need when somebody begins to look.
// Fed by proxy.ts, read by the admin handler. Its tick is also the beat of /events.

import type { Outcome } from "../core/outcome.ts";
import type { EndedBadly, Second } from "./report.ts";

/** Running sums, and what is open right now. */
export interface Readings {
  /** Requests so far, those that opened a tunnel included. */
  requests: number;
  /** Of those, how many ended badly so far. */
  failed: number;
  /** Bytes tunnels have relayed so far, both ways. */
  tunnelBytes: number;
  tunnels: number;
  /** Processor time of this process so far. */
  cpuMs: number;
}

const TICK_MS = 1000;
const KEPT_SECONDS = 300;
const KEPT_ENDINGS = 200;
const MAX_PATH = 200;

/** Remembers seconds and endings, bounded. */
export class History {
  readonly #read: () => Readings;
  readonly #seconds: Second[] = [];
  readonly #endings: EndedBadly[] = [];
  readonly #followers = new Set<() => void>();
  #last: Readings = { requests: 0, failed: 0, tunnelBytes: 0, tunnels: 0, cpuMs: 0 };
  #timer: NodeJS.Timeout | undefined;

  constructor(read: () => Readings) {
    this.#read = read;
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Oldest first. */
  get seconds(): readonly Second[] {
    return this.#seconds;
  }

  /** Latest first. */
  get endedBadly(): EndedBadly[] {
    return this.#endings.toReversed();
  }

  /** An exchange ended badly, and has its line in the log; `what` is the sentence that stands there. */
  ended(outcome: Outcome, what: string): void {
    const { id, kind, route, method, status, error, ms, by, how, phase } = outcome;
    const path = outcome.path.length > MAX_PATH ? `${outcome.path.slice(0, MAX_PATH)}…` : outcome.path;
    const at = new Date().toISOString();
    const code = outcome.attempts.findLast((one) => one.code !== undefined)?.code;
    const attempts = outcome.attempts.reduce((sum, { times }) => sum + times, 0);
    const about = { id, kind, route, method, path, status, error, ms, by, how, phase };
    this.#endings.push({ at, ...about, what, code, attempts, from: outcome.client });
    if (this.#endings.length > KEPT_ENDINGS) this.#endings.shift();
  }

  /** Calls back each second; returns the function that ends it. */
  follow(onSecond: () => void): () => void {
    this.#followers.add(onSecond);
    return () => this.#followers.delete(onSecond);
  }

  #tick(): void {
    const now = this.#read();
    const before = this.#last;
    this.#last = now;
    const second: Second = {
      at: new Date().toISOString(),
      requests: now.requests - before.requests,
      failed: now.failed - before.failed,
      tunnelBytes: now.tunnelBytes - before.tunnelBytes,
      tunnels: now.tunnels,
      cpuMs: now.cpuMs - before.cpuMs,
    };
    this.#seconds.push(second);
    if (this.#seconds.length > KEPT_SECONDS) this.#seconds.shift();
    for (const onSecond of this.#followers) onSecond();
  }
}
