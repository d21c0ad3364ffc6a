// Checks what has to be true after all faults of the soak.

import { sumsBy, totalOf } from "./daemon.mjs";
import { afterWarmUp, floorsOf, slopeOf } from "./trend.mjs";

const SETTLE_MS = 15_000;
/**
 * Growth over the run that is noise: as many descriptors as storms have highs and lows, and a heap that finds its size.
 */
const MAX_DESCRIPTORS = 30;
const DESCRIPTORS_SHARE = 0.5;
const MAX_BYTES = 64 * 2 ** 20;

/** Waits until everything is closed; says what is not. */
async function leftOpen(daemon, base) {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const { tunnels, requests, held, connections } = JSON.parse(await daemon.ask("/status"));
    const extra = daemon.descriptors() - base;
    // One is the admin connection that asked.
    if (tunnels.length === 0 && requests + held + connections === 0 && extra <= 0) return [];
    if (performance.now() > deadline) {
      return [
        `left open: ${JSON.stringify({ tunnels: tunnels.length, requests, held, connections, descriptors: extra })}`,
      ];
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Does what the proxy counted agree with what its clients did? */
function miscounted(metrics, crowd, prober, say) {
  const wrong = [];
  const seen = { ...prober.statuses };
  let sure = prober.exchanges;
  let unsure = 0;
  for (const { counts } of crowd) {
    sure += counts.exchanges;
    unsure += counts.unsure;
    for (const [status, n] of Object.entries(counts.statuses)) {
      const label = status === "0" ? "none" : status;
      seen[label] = (seen[label] ?? 0) + n;
    }
  }
  const requests = sumsBy(metrics, "requests_total", "status");
  const total = totalOf(requests);
  say(`counted ${total} exchanges: ${JSON.stringify(requests)}; clients made ${sure}, and ${unsure} that may count`);
  if (total < sure || total > sure + unsure) wrong.push(`${total} exchanges counted, ${sure} to ${sure + unsure} made`);
  for (const [status, n] of Object.entries(seen)) {
    const counted = requests[status] ?? 0;
    if (counted < n || counted > n + unsure)
      wrong.push(`status ${status}: ${counted} counted, ${n} to ${n + unsure} made`);
  }
  const endings = totalOf(sumsBy(metrics, "endings_total", "how"));
  if (endings !== total) wrong.push(`${endings} endings of ${total} exchanges`);
  const tunnels = totalOf(sumsBy(metrics, "tunnels_total", "end"));
  if (tunnels !== requests["101"]) wrong.push(`${tunnels} ends of ${requests["101"]} tunnels`);
  const uncaught = totalOf(sumsBy(metrics, "uncaught_total", ""));
  if (uncaught !== 0) wrong.push(`${uncaught} errors that nobody caught`);
  return wrong;
}

/** Does anything grow with time? */
function grown(samples, say) {
  const wrong = [];
  const look = (name, series, most, unit, one) => {
    const seconds = (series.at(-1)?.at ?? 0) - (series[0]?.at ?? 0);
    const growth = slopeOf(series) * seconds;
    say(
      `${name}: ${(growth / one).toFixed(1)} ${unit} by the slope of ${series.length} samples over ${Math.round(seconds)} s`,
    );
    if (growth > most) wrong.push(`${name} grows: ${(growth / one).toFixed(1)} ${unit}`);
  };
  const descriptors = afterWarmUp(samples.descriptors);
  const mean = descriptors.reduce((sum, { value }) => sum + value, 0) / Math.max(1, descriptors.length);
  look("descriptors", descriptors, MAX_DESCRIPTORS + DESCRIPTORS_SHARE * mean, "", 1);
  look("resident memory", afterWarmUp(samples.resident), MAX_BYTES, "MiB", 2 ** 20);
  look("used heap", floorsOf(afterWarmUp(samples.heap), 5), MAX_BYTES, "MiB", 2 ** 20);
  return wrong;
}

/** Returns what is wrong, in sentences. */
export async function judge({ daemon, base, crowd, prober, samples, upstreams, say, tookSeconds }) {
  const played = crowd.reduce((sum, { counts }) => sum + counts.faults, 0);
  const ordinary = crowd.reduce((sum, { counts }) => sum + counts.ordinary, 0);
  say(
    `${played} faults in ${Math.round(tookSeconds)} s, ${Math.round(played / tookSeconds)} a second; ${ordinary} ordinary requests`,
  );
  say(`prober: ${prober.said}`);
  const wrong = [...prober.failures, ...crowd.flatMap(({ failures }) => failures)];
  wrong.push(...crowd.filter(({ done }) => !done).map(({ code }) => `a worker ended with ${code}`));
  if (daemon.seen.ended !== undefined)
    return [...wrong, `the proxy ended with ${daemon.seen.ended}: ${daemon.seen.stderr}`];
  wrong.push(...(await leftOpen(daemon, base)), ...(await upstreams.failures()));
  wrong.push(...miscounted(await daemon.ask("/metrics"), crowd, prober, say), ...grown(samples, say));
  const { lines, bad } = daemon.seen;
  say(`${lines} lines in the log, ${Math.round(lines / tookSeconds)} a second`);
  wrong.push(...bad.map((line) => `in the log: ${line}`));
  const code = await daemon.stop();
  if (code !== 0) wrong.push(`exit ${code} after SIGTERM`);
  if (daemon.seen.stderr !== "") wrong.push(`on stderr: ${daemon.seen.stderr}`);
  return wrong;
}
