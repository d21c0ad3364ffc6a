// Judges the memory of a worker: what lives when nothing goes on must not grow with the number of schedules.

import * as v8 from "node:v8";
import { runInNewContext } from "node:vm";

/** So many schedules fill caches and compile what is used often; memory is compared with what lived behind them. */
export const WARM_UP = 2500;

/**
 * What lives varies by this much from look to look, in bytes (types and counters of functions that are compiled), and
 * proxies that last fill their histories (300 seconds, 200 endings: 200 kB each). Besides, it may grow a little with
 * each schedule. One object of 100 bytes for each exchange is about 450 bytes a schedule.
 */
const NOISE_BYTES = 2_000_000;
const BYTES_PER_SCHEDULE = 30;

/** Collections until no more is found; a finalizer may let go of something in its own turn of the event loop. */
const MAX_COLLECTIONS = 10;

v8.setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Spaces in which code lives, and what never changes. */
const CODE = /^(?:code|read_only)/;

/** Bytes that live: the heap without code, and what buffers hold outside of it. */
function liveBytes(): number {
  const heap = v8.getHeapSpaceStatistics().filter(({ space_name: name }) => !CODE.test(name));
  return heap.reduce((all, { space_used_size: used }) => all + used, v8.getHeapStatistics().external_memory);
}

/** Collects all garbage; returns how many bytes live. */
export async function collect(): Promise<number> {
  let least = Infinity;
  for (let n = 0, vain = 0; n < MAX_COLLECTIONS && vain < 2; n += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    gc();
    const bytes = liveBytes();
    vain = bytes < least ? 0 : vain + 1;
    least = Math.min(bytes, least);
  }
  return least;
}

/** The memory of this process. */
export class Memory {
  #base: { bytes: number; played: number } | undefined;

  /**
   * To be called when nothing goes on, from WARM_UP schedules on; the first call sets what the next are compared with.
   *
   * @param played how many schedules have been played so far.
   */
  async judge(played: number): Promise<string[]> {
    const bytes = await collect();
    if (played < WARM_UP) return [];
    this.#base ??= { bytes, played };
    const grown = bytes - this.#base.bytes;
    const schedules = played - this.#base.played;
    // Noise would be divided by too few.
    if (schedules < WARM_UP || grown <= NOISE_BYTES + BYTES_PER_SCHEDULE * schedules) return [];
    const each = Math.round(grown / schedules);
    return [`memory grows: ${grown} bytes more live behind ${schedules} schedules, ${each} bytes for each`];
  }
}
