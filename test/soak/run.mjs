// npm run soak -- [--faults N] [--seconds S] [--workers K] [--seed N] [--at-once N]
// Causes random faults of all kinds at once against one proxy, with bystanders beside them that must not be affected.

import cluster from "node:cluster";
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startDaemon } from "./daemon.mjs";
import { startFrail } from "./frail.mjs";
import { judge } from "./judge.mjs";
import { startProber } from "./prober.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const { values } = parseArgs({
  options: {
    faults: { type: "string", default: "1000000" },
    seconds: { type: "string", default: "3600" },
    workers: { type: "string", default: String(availableParallelism()) },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    "at-once": { type: "string", default: "600" },
  },
});
const number = (name) => {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  process.stderr.write(`--${name} is '${values[name]}'. Accepted: a whole number above 0.\n`);
  return process.exit(64);
};
const [faults, seconds, workers, seed, atOnce] = ["faults", "seconds", "workers", "seed", "at-once"].map(number);
if (process.platform !== "linux") {
  process.stderr.write("the soak reads /proc: Linux only.\n");
  process.exit(64);
}
const say = (text) => void process.stdout.write(`${text}\n`);
say(`seed ${seed}: ${faults} faults, at most ${seconds} s, ${workers} workers, ${atOnce} at once`);

/** Several processes on one port. */
async function startUpstreams() {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  cluster.setupPrimary({ exec: path("upstream.mjs"), args: [] });
  const all = Array.from({ length: workers }, () => cluster.fork());
  const ports = await Promise.all(all.map((one) => new Promise((resolve) => one.once("message", resolve))));
  const failures = () =>
    Promise.all(
      all.map((one) => {
        const answer = new Promise((resolve) => one.once("message", resolve));
        one.send("report");
        return answer;
      }),
    );
  return { port: ports[0].port, failures: async () => (await failures()).flatMap((one) => one.failures) };
}

/** The workers; resolves once all have played their share, or the time is over. */
function startWorkers(port) {
  const share = Math.ceil(faults / workers);
  const states = [];
  const done = Promise.all(
    Array.from({ length: workers }, (_, index) => {
      const about = { port, seed: seed + index, faults: share, concurrency: Math.ceil(atOnce / workers) };
      const child = fork(path("worker.mjs"), [JSON.stringify(about)]);
      states.push({ child, counts: { faults: 0 }, failures: [] });
      return new Promise((resolve) => {
        child.on("message", (message) => Object.assign(states[index], message));
        child.once("exit", (code) => resolve(void (states[index].code = code)));
      });
    }),
  );
  const stop = () => states.forEach(({ child, done: over }) => !over && child.connected && child.send("stop"));
  return { states, done, stop };
}

/** Measures once a second. */
function startSampling(daemon, states) {
  const samples = { descriptors: [], resident: [], heap: [] };
  const began = performance.now();
  let ticks = 0;
  const sample = async () => {
    if (daemon.seen.ended !== undefined) return;
    const at = (performance.now() - began) / 1000;
    samples.descriptors.push({ at, value: daemon.descriptors() });
    samples.resident.push({ at, value: daemon.residentBytes() });
    ticks += 1;
    const metrics = await daemon.ask("/metrics").catch(() => "");
    const heap = Number(/^nodejs_heap_size_used_bytes (\S+)/m.exec(metrics)?.[1]);
    if (heap > 0) samples.heap.push({ at, value: heap });
    if (ticks % 10 > 0) return;
    const played = states.reduce((sum, { counts }) => sum + counts.faults, 0);
    const megabytes = Math.round(daemon.residentBytes() / 2 ** 20);
    say(`${Math.round(at)} s: ${played} faults, ${samples.descriptors.at(-1).value} descriptors, ${megabytes} MiB`);
  };
  const timer = setInterval(() => void sample(), 1000);
  return { samples, stop: () => clearInterval(timer) };
}

const upstreams = await startUpstreams();
const frail = await startFrail(seed);
const web = String(upstreams.port);
// Nobody listens on port 1.
const muxes = [`/mux=${web}/mux`, `/steady=${web}/steady`, `/away=1/away`, `/frail=${frail.port}/frail`];
const daemon = await startDaemon(["--http", web, ...muxes.flatMap((mux) => ["--mux", mux])]);
process.once("exit", () => daemon.kill());
await daemon.ask("/metrics");
const base = daemon.descriptors();

const began = performance.now();
const prober = startProber(daemon.port, ["/steady", "/mux"]);
const crowd = startWorkers(daemon.port);
const sampling = startSampling(daemon, crowd.states);
frail.begin();
const timer = setTimeout(crowd.stop, seconds * 1000);
await crowd.done;
clearTimeout(timer);
const tookSeconds = (performance.now() - began) / 1000;
sampling.stop();
await frail.stop();
await prober.stop();
const failures = await judge({
  daemon,
  base,
  crowd: crowd.states,
  prober,
  samples: sampling.samples,
  upstreams,
  say,
  tookSeconds,
});
for (const failure of failures) say(`FAILED ${failure}`);
say(failures.length === 0 ? "passed" : `failed; again with --seed ${seed}`);
process.exit(failures.length === 0 ? 0 : 1);
