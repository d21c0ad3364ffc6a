// The metrics: receives outcomes as an Observer and counts them; series.ts gives the counts to prom-client, for each
// scrape. prom-client is loaded after the start, to start faster.

import type { Registry } from "prom-client";
import type { Observer, Outcome } from "../core/outcome.ts";
import { load } from "../core/packages.ts";
import { Counts } from "./counts.ts";
import { endedBadly } from "./ending.ts";
import { Latencies } from "./latencies.ts";
import type { Report } from "./report.ts";
import { createSeries, type Counted } from "./series.ts";

// Error codes that may be a label value; all others become "other", so that a peer cannot create new series.
const REASONS = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOENT",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "unsent",
  "unread",
]);

/** Counts what happens in exchanges. */
export class Metrics implements Observer {
  readonly #report: () => Report;
  readonly #counted: Counted = {
    ended: new Counts(),
    opened: new Map(),
    retries: new Map(),
    closedBytes: new Map(),
    requests: new Latencies(),
    pings: new Latencies(),
  };
  #failed = 0;
  #uncaught = 0;
  #registry: Registry | undefined;
  #scraped: Report | undefined;

  /** @param report makes the report from which gauges are read; called once for each scrape. */
  constructor(report: () => Report) {
    this.#report = report;
  }

  ended(outcome: Outcome): void {
    const { ended, retries, requests } = this.#counted;
    ended.add(outcome);
    if (endedBadly(outcome)) this.#failed += 1;
    if (outcome.kind === "tunnel") this.#addBytes(outcome);
    else requests.observe(outcome.route || "none", outcome.ms / 1000);
    if (outcome.attempts.length < 2) return;
    for (const code of retriedAfter(outcome)) increase(retries, REASONS.has(code) ? code : "other");
  }

  opened(route: string): void {
    increase(this.#counted.opened, route);
  }

  ponged(side: "client" | "upstream", rttMs: number): void {
    this.#counted.pings.observe(side, rttMs / 1000);
  }

  /** The counters that /status shows. */
  get totals(): Report["totals"] {
    const { rows } = this.#counted.ended;
    const endings: Record<string, number> = {};
    let requests = 0;
    for (const { kind, by, how, count } of rows) {
      const ending = `${by} ${how}`;
      endings[ending] = (endings[ending] ?? 0) + count;
      if (kind === "request") requests += count;
    }
    const tunnels = sumOf(this.#counted.opened);
    const retries = sumOf(this.#counted.retries);
    return { requests: requests + tunnels, tunnels, failed: this.#failed, retries, uncaught: this.#uncaught, endings };
  }

  /** Durations of requests by upstream, as /status shows them. */
  get latencies(): Latencies {
    return this.#counted.requests;
  }

  /** Bytes of tunnels that have ended, in both directions. */
  get closedTunnelBytes(): number {
    let sum = 0;
    for (const bytes of this.#counted.closedBytes.values()) sum += bytes.in + bytes.out;
    return sum;
  }

  /** Counts an uncaught socket error. */
  uncaught(): void {
    this.#uncaught += 1;
  }

  /** The text of /metrics. */
  async text(): Promise<{ type: string; body: string }> {
    const registry = this.load();
    // One report for all gauges of a scrape: it is costly with thousands of tunnels, and the gauges must agree.
    this.#scraped = this.#report();
    return { type: registry.contentType, body: await registry.metrics() };
  }

  /** Loads prom-client. */
  load(): Registry {
    return (this.#registry ??= createSeries(
      load("prom-client") as typeof import("prom-client"),
      () => this.#scraped ?? this.#report(),
      this.#counted,
    ));
  }

  #addBytes({ route, bytesIn, bytesOut }: Outcome): void {
    const { closedBytes } = this.#counted;
    const bytes = closedBytes.get(route) ?? { in: 0, out: 0 };
    closedBytes.set(route, { in: bytes.in + bytesIn, out: bytes.out + bytesOut });
  }
}

function increase(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

/** The error code before each retry: those of attempts that had a connection, except the last attempt. */
function retriedAfter({ attempts }: Outcome): string[] {
  return attempts
    .slice(0, -1)
    .flatMap(({ phase, proof, code = "other" }) => (phase === "connect" ? [] : [proof ?? code]));
}
