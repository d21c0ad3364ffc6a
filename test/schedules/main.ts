// npm run schedules -- [--count N] [--seconds S] [--seed N] [--workers K] [--lanes L] [--replay FILE|-] [--dist DIR]
//   [--first]
// Plays schedules, judges them, and prints each that fails as a script that replays it. Bundled and started by run.mjs;
// its workers run the same file.

import { fork, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { Lane } from "./lane.ts";
import type { Schedule } from "./schedule.ts";
import { CRASHED, playOnce, work, type Failed, type Job, type Progress } from "./worker.ts";

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** A replay that is late is played again so often. */
const TRIES_IN_TIME = 5;

async function beWorker(): Promise<void> {
  const job = JSON.parse(process.argv[3] ?? "{}") as Job;
  process.on("disconnect", () => process.exit());
  await work(job, (progress) => process.send?.(progress));
  process.send?.({ done: true }, () => process.disconnect());
}

/** Plays one schedule again, so many times; says what was found. */
async function replay(file: string, dist: string, times: number): Promise<number> {
  const schedule = JSON.parse(readFileSync(file === "-" ? 0 : file, "utf8")) as Schedule;
  let failed = 0;
  for (let n = 0; n < times; n += 1) {
    const lane = await Lane.open(dist, "127.19.0.1");
    const told: string[] = [];
    // What is found on a machine that has no time may be its fault.
    let found = await playOnce(lane, schedule, told);
    for (let again = 0; found.late && found.findings.length > 0 && again < TRIES_IN_TIME; again += 1) {
      told.length = 0;
      found = await playOnce(lane, schedule, told);
    }
    await lane.close();
    const findings = found.late ? [] : found.findings;
    if (findings.length === 0) continue;
    failed += 1;
    if (failed === 1) for (const line of [...told, ...findings]) say(line);
  }
  say(`${failed} of ${times} plays failed`);
  return failed === 0 ? 0 : 1;
}

/** Which of several schedules makes the process crash when it is played alone? */
function findCrash(schedules: Schedule[], dist: string): Schedule | undefined {
  const args = [process.argv[1] ?? "", "--replay", "-", "--times", "3", "--dist", dist];
  return schedules.find((one) => {
    const { stdout } = spawnSync(process.execPath, args, { input: JSON.stringify(one), encoding: "utf8" });
    return !stdout.includes("plays failed");
  });
}

function print({ findings, schedule, after }: Failed): void {
  say(`FAILED after ${after}:`);
  for (const finding of findings) say(`  ${finding}`);
  if (schedule) say(`  again: npm run schedules -- --replay - <<'END'\n${JSON.stringify(schedule)}\nEND`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "100000" },
      seconds: { type: "string", default: "3600" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      workers: { type: "string", default: String(availableParallelism()) },
      lanes: { type: "string", default: "32" },
      replay: { type: "string" },
      times: { type: "string", default: "20" },
      dist: { type: "string", default: "dist" },
      first: { type: "boolean", default: false },
    },
  });
  const number = (name: "count" | "seconds" | "seed" | "workers" | "lanes" | "times"): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 0) return value;
    process.stderr.write(`--${name} is '${values[name]}'. Accepted: a whole number.\n`);
    return process.exit(64);
  };
  const dist = resolve(values.dist);
  if (values.replay !== undefined) process.exit(await replay(values.replay, dist, number("times")));
  const [count, seconds, seed, workers, lanes] = (["count", "seconds", "seed", "workers", "lanes"] as const).map(
    number,
  ) as [number, number, number, number, number];
  say(`seed ${seed}: ${count} schedules, at most ${seconds} s, ${workers} workers of ${lanes} lanes`);
  const began = performance.now();
  const played = Array.from({ length: workers }, () => 0);
  const late = played.slice();
  const failed: Failed[] = [];
  const broken: string[] = [];
  const children = played.map((_, n) => {
    const job: Job = { dist, seed, count: Math.ceil(count / workers), seconds, lanes, worker: n, first: values.first };
    return fork(process.argv[1] ?? "", ["--worker", JSON.stringify(job)], {
      execArgv: ["--max-semi-space-size=64", "--disable-warning=ExperimentalWarning"],
    });
  });
  const report = setInterval(
    () => say(`${Math.round((performance.now() - began) / 1000)} s: ${sum(played)} schedules`),
    10_000,
  );
  await Promise.all(
    children.map(
      (child, n) =>
        new Promise<void>((over) => {
          let done = false;
          child.on("message", (message: Partial<Progress> & { done?: boolean }) => {
            done ||= message.done === true;
            // The proxy tells an IPC parent of its links, too.
            if (message.played === undefined) return;
            played[n] = message.played;
            late[n] = message.late ?? 0;
            if (!message.failed) return;
            failed.push(message.failed);
            if (!message.failed.inFlight) print(message.failed);
            if (values.first) for (const other of children) if (other !== child) other.kill();
          });
          child.once("exit", (code, signal) => {
            if (!done && code !== CRASHED && !(values.first && signal === "SIGTERM"))
              broken.push(`a worker ended with ${code ?? signal}`);
            over();
          });
        }),
    ),
  );
  clearInterval(report);
  const took = (performance.now() - began) / 1000;
  for (const one of failed) {
    if (!one.inFlight) continue;
    const schedule = findCrash(one.inFlight, dist);
    print(schedule ? { ...one, schedule } : one);
  }
  for (const one of broken) say(`FAILED ${one}`);
  say(
    `${sum(played)} schedules in ${took.toFixed(1)} s, ${Math.round(sum(played) / took)} a second; ${sum(late)} were late and found nothing alone; ${failed.length} failed`,
  );
  process.exit(failed.length + broken.length === 0 ? 0 : 1);
}

function sum(numbers: number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}

if (process.argv[2] === "--worker") await beWorker();
else await main();
