// What every load shares: connections that read into one buffer, opened not too many at a time, and latencies.

import { connect } from "node:net";
import { createHistogram } from "node:perf_hooks";

/** More at once would overflow the backlog of a peer, and measure retransmissions. */
const AT_ONCE = 100;
const CONNECT_MS = 20_000;

/** @param {(value: number) => Promise<unknown>} open called with 0 to n - 1 @param {number} count */
export async function several(count, open) {
  let next = 0;
  const worker = async () => {
    while (next < count) await open(next++);
  };
  await within(Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker)), "connect", CONNECT_MS);
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {string} what
 * @param {number} ms
 * @returns {Promise<T>}
 */
export async function within(promise, what, ms) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the load could not ${what} within ${ms} ms`)), ms);
  });
  try {
    return /** @type {T} */ (await Promise.race([promise, late]));
  } finally {
    clearTimeout(timer);
  }
}

// All reads of the load happen one after the other, and none is kept.
const shared = Buffer.allocUnsafe(256 * 1024);

/**
 * A connection that tells of its bytes; `bytes` is only valid during the call.
 *
 * @param {number} port
 * @param {{ onBytes(bytes: Buffer): void, onEnd(): void }} listener may be swapped: it is asked for at each call
 */
export function dial(port, listener) {
  const callback = (/** @type {number} */ length) => {
    listener.onBytes(shared.subarray(0, length));
    return true;
  };
  const socket = connect({ port, host: "127.0.0.1", noDelay: true, onread: { buffer: shared, callback } });
  socket.on("error", () => {});
  socket.on("close", () => listener.onEnd());
  return socket;
}

/** Latencies of one measurement. */
export class Latencies {
  #histogram = createHistogram();

  /** @param {number} since milliseconds of performance.now() */
  record(since) {
    this.#histogram.record(Math.max(1, Math.round((performance.now() - since) * 1e6)));
  }

  /** @param {number} share in per cent */
  at(share) {
    return this.#histogram.count === 0 ? Number.NaN : this.#histogram.percentile(share) / 1e6;
  }

  /** @param {number} units @param {number} errors */
  sample(units, errors) {
    return { units, errors, p50: this.at(50), p99: this.at(99) };
  }
}
