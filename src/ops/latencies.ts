// Counts durations in the buckets of /metrics: of requests by upstream, of pings by side. Estimates p50, p95 and p99
// from them. Fed by metrics.ts, read for /status and /metrics.

/** Upper bounds of the buckets, in seconds. Longer durations are in one more bucket, without a bound. */
export const SECONDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120,
];

/** Quantiles in milliseconds, of all requests since the start. Undefined: longer than the highest bound. */
export interface Quantiles {
  count: number;
  p50?: number | undefined;
  p95?: number | undefined;
  p99?: number | undefined;
}

/** The durations of one upstream, or of one side. */
export interface Durations {
  /** How many there were in each bucket; the last one has no bound. */
  readonly counts: number[];
  /** All durations together, in seconds. */
  sum: number;
}

/** Counts durations by upstream, or by side. */
export class Latencies {
  readonly #of = new Map<string, Durations>();

  observe(name: string, seconds: number): void {
    let durations = this.#of.get(name);
    if (!durations) {
      durations = { counts: Array.from({ length: SECONDS.length + 1 }, () => 0), sum: 0 };
      this.#of.set(name, durations);
    }
    const { counts } = durations;
    let bucket = 0;
    while (bucket < SECONDS.length && seconds > (SECONDS[bucket] ?? 0)) bucket += 1;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
    durations.sum += seconds;
  }

  /** All durations by name. */
  entries(): Iterable<[name: string, durations: Durations]> {
    return this.#of.entries();
  }

  /** Undefined before the first request. Interpolates linearly within a bucket, as Prometheus does. */
  quantiles(name: string): Quantiles | undefined {
    const counts = this.#of.get(name)?.counts;
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
