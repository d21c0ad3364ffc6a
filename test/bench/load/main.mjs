// The load, in a process of its own: it is told to prepare (connect, warm up), to measure for a while, and to close.
// Between these run.mjs reads what the peer has used, so that preparing is not counted.

import { arrivals } from "./arrivals.mjs";
import { events } from "./events.mjs";
import { requests } from "./requests.mjs";
import { tunnels } from "./tunnels.mjs";

/** What one measurement saw; latencies in milliseconds.
 * @typedef {{ units: number, errors: number, p50: number, p99: number }} Sample */

/** A load that is connected. @typedef {{ measure(ms: number): Promise<Sample>, close(): void }} Load */

/** @type {Record<string, (port: number, options: any) => Promise<Load>>} */
const kinds = { arrivals, events, requests, tunnels };

/** @type {Load | undefined} */
let load;

/** @param {any} told */
async function answer(told) {
  if (told.prepare) {
    load = await kinds[told.prepare]?.(told.port, told.options ?? {});
    return { ready: true };
  }
  if (told.measure) return await load?.measure(told.measure);
  load?.close();
  load = undefined;
  return { closed: true };
}

process.on("message", (told) => {
  answer(told).then(
    (said) => process.send?.(said),
    (error) => process.send?.({ failed: String(error?.message ?? error) }),
  );
});
process.on("disconnect", () => process.exit());
