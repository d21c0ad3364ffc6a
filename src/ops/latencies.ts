// How long requests take, by upstream: counts in the buckets of the histogram that /metrics has, and what can be said of
// them at a glance. Fed by metrics.ts, read for /status.

/** Upper bounds in seconds; what takes longer is in the last bucket, which has none. */
export const SECONDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120,
];

/** Times in milliseconds, since the start of the process; undefined: longer than the highest bound. */
export interface Quantiles {
  count: number;
  p50?: number | undefined;
  p95?: number | undefined;
  p99?: number | undefined;
}

/** Counts durations by upstream. */
export class Latencies {
  readonly #counts = new Map<string, number[]>();

  observe(route: string, seconds: number): void {
    let counts = this.#counts.get(route);
    if (!counts) this.#counts.set(route, (counts = Array.from({ length: SECONDS.length + 1 }, () => 0)));
    let bucket = 0;
    while (bucket < SECONDS.length && seconds > (SECONDS[bucket] ?? 0)) bucket += 1;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }

  /** Undefined before the first request. Within a bucket they are taken to be spread evenly, as Prometheus does. */
  quantiles(route: string): Quantiles | undefined {
    const counts = this.#counts.get(route);
    if (!counts) return undefined;
    const count = counts.reduce((sum, one) => sum + one, 0);
    return { count, p50: at(counts, count * 0.5), p95: at(counts, count * 0.95), p99: at(counts, count * 0.99) };
  }
}

function at(counts: readonly number[], rank: number): number | undefined {
  let before = 0;
  for (const [bucket, count] of counts.entries()) {
    if (count > 0 && before + count >= rank) {
      const high = SECONDS[bucket];
      if (high === undefined) return undefined;
      const low = SECONDS[bucket - 1] ?? 0;
      return Math.round(1000 * (low + (high - low) * ((rank - before) / count)) * 10) / 10;
    }
    before += count;
  }
  return undefined;
}
