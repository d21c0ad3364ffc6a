// Plain requests by wrk, or by autocannon where there is no wrk: one command for each measurement.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, finished, scratch, start } from "../children.mjs";
import { CACHE } from "../fetch.mjs";

const CONNECTIONS = 32;
const BODY = 10 * 1024;

/** Prints what run.mjs wants to know, as JSON. */
const REPORT = `
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\n{"units":%d,"errors":%d,"p50":%f,"p99":%f}\\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
`;

/**
 * @param {number} port
 * @param {{ path: string, post?: boolean }} options
 * @param {number} seconds
 * @returns {Promise<import("./main.mjs").Sample>}
 */
export async function wrk(port, { path, post = false }, seconds) {
  const url = `http://127.0.0.1:${port}${path}`;
  const whole = String(Math.max(1, Math.round(seconds)));
  const limitMs = (seconds + 20) * 1000;
  if (await ask("wrk", ["-v"])) {
    const script = join(scratch(), post ? "post.lua" : "get.lua");
    const how = post ? `wrk.method = "POST"\nwrk.body = string.rep("p", ${BODY})\n` : "";
    writeFileSync(script, how + REPORT);
    const wrk = start("wrk", ["-t1", `-c${CONNECTIONS}`, `-d${whole}s`, "-s", script, url]);
    return JSON.parse((await finished(wrk, limitMs)).trim().split("\n").at(-1) ?? "");
  }
  const method = post ? ["-m", "POST", "-b", "p".repeat(BODY)] : [];
  const command = [`${CACHE}node_modules/autocannon/autocannon.js`, "-j", "-c", String(CONNECTIONS), "-d", whole];
  const autocannon = start(process.execPath, [...command, ...method, url]);
  const said = await finished(autocannon, limitMs);
  const { "2xx": units, errors, timeouts, non2xx, latency } = JSON.parse(said.slice(said.indexOf("{")));
  return { units, errors: errors + timeouts + non2xx, p50: latency.p50, p99: latency.p99 };
}
