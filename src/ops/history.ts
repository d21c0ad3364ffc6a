// Remembers the last minutes, second by second, and the latest exchanges that ended badly: for the live page's charts
// and tables. Fed by proxy/, read by admin.ts. Its tick also paces /events.

import type { Outcome } from "../core/outcome.ts";
import type { EndedBadly, Second } from "./report.ts";

/** Counters since the start, and what is open now. */
export interface Readings {
  /** Requests, including those that opened a tunnel. */
  requests: number;
  /** How many of them ended badly. */
  failed: number;
  /** Bytes that tunnels have relayed, in both directions. */
  tunnelBytes: number;
  tunnels: number;
  /** Processor time of this process, in milliseconds. */
  cpuMs: number;
}

const TICK_MS = 1000;
const KEPT_SECONDS = 300;
const KEPT_ENDINGS = 200;
const MAX_PATH = 200;

/** The history of one proxy; bounded. */
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

  /** Adds an exchange that ended badly; `what` is the sentence of its line in the log. */
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

  /** Calls `onSecond` each second; returns the function that ends this. */
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
