// One process of players: as many lanes as keep the processor busy while schedules wait for limits.

import fc from "fast-check";
import { schedules } from "./generate.ts";
import { judge } from "./judge.ts";
import { Lane } from "./lane.ts";
import { Play } from "./player.ts";
import { tell } from "./tell.ts";
import type { Schedule } from "./schedule.ts";

/** What a worker has to do. */
export interface Job {
  dist: string;
  seed: number;
  count: number;
  seconds: number;
  lanes: number;
  /** Which process it is: each has addresses of its own. */
  worker: number;
  /** Ends at the first finding, and does not look for a smaller schedule. */
  first: boolean;
}

/** A schedule that failed. */
export interface Failed {
  findings: string[];
  schedule: Schedule;
  /** How many schedules had been played when it failed. */
  after: number;
}

/** A worker that has found so many stops: something is wrong altogether. */
const MANY = 10;

/** Plays a schedule once; returns what was found. */
export async function playOnce(lane: Lane, schedule: Schedule, told?: string[]): Promise<string[]> {
  const played = await new Play(lane, schedule).run();
  told?.push(...tell(played));
  const findings = judge(played).filter((one) => !KNOWN.test(one));
  if (findings.length > 0)
    findings.push(
      `(${Math.round(played.ms)} ms, of them ${Math.round(played.scriptMs)} for the script; our own loop stood still for ${Math.round(played.lagMs)} ms)`,
    );
  return findings;
}

const KNOWN = new RegExp(process.env["KNOWN"] ?? "^$");

/** What kind of finding it is, whoever it is about: a smaller schedule has to show the same. */
function kindOf(findings: string[]): string {
  return (findings[0] ?? "").replaceAll(/[0-9a-z]+\.\d\.\d|\d+|"[^"]*"/g, "_");
}

const SHRINK_TRIES = 300;
const SHRINK_MS = 15_000;

/** Plays a job. */
export async function work(job: Job, progress: (played: number, failed?: Failed) => void): Promise<void> {
  const done = { played: 0, failed: 0 };
  const deadline = performance.now() + job.seconds * 1000;
  let left = job.count;
  let stopped = false;
  const lanes = await Promise.all(
    Array.from({ length: job.lanes }, (_, n) =>
      Lane.open(job.dist, `127.${20 + job.worker}.${1 + (n >> 7)}.${1 + (n & 127)}`),
    ),
  );
  const timer = setInterval(() => progress(done.played), 1000);
  await Promise.all(
    lanes.map(async (first, n) => {
      let lane = first;
      const random = samples(job.seed * 1_000_003 + job.worker * 1009 + n);
      while (!stopped && left > 0 && performance.now() < deadline) {
        left -= 1;
        const value = random();
        done.played += 1;
        const findings = await playOnce(lane, value.value);
        if (findings.length === 0) continue;
        const after = done.played;
        if (job.first) stopped = true;
        // What a schedule spoilt must not spoil the next.
        lane = await anew(lane, job, n);
        const smaller = job.first
          ? { schedule: value.value, findings }
          : await shrink(
              () => lane,
              async () => (lane = await anew(lane, job, n)),
              value,
              findings,
            );
        done.failed += 1;
        progress(done.played, { ...smaller, after });
        if (done.failed >= MANY) stopped = true;
      }
      await lane.close();
    }),
  );
  clearInterval(timer);
  progress(done.played);
}

let renewed = 0;

async function anew(lane: Lane, job: Job, n: number): Promise<Lane> {
  await lane.close();
  renewed += 1;
  return await Lane.open(job.dist, `127.${20 + job.worker}.${100 + (renewed % 100)}.${1 + (n % 250)}`);
}

/** Schedules at random, from a seed. */
function samples(seed: number): () => fc.Value<Schedule> {
  const random = new fc.Random(new Mixed(seed));
  return () => schedules.generate(random, undefined);
}

/** A generator of random numbers (splitmix32) in the shape that fast-check draws from. */
class Mixed {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  clone(): Mixed {
    return new Mixed(this.#state);
  }

  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) | 0;
  }

  getState(): readonly number[] {
    return [this.#state];
  }
}

/** Looks for a smaller schedule that fails, too. */
async function shrink(
  lane: () => Lane,
  renew: () => Promise<unknown>,
  value: fc.Value<Schedule>,
  found: string[],
): Promise<{ schedule: Schedule; findings: string[] }> {
  let best = value;
  let findings = found;
  let tries = SHRINK_TRIES;
  const deadline = performance.now() + SHRINK_MS;
  for (let smaller = true; smaller && tries > 0;) {
    smaller = false;
    for (const next of schedules.shrink(best.value, best.context)) {
      if ((tries -= 1) <= 0 || performance.now() > deadline) break;
      const now = await playOnce(lane(), next.value);
      if (now.length === 0 || kindOf(now) !== kindOf(findings)) continue;
      await renew();
      best = next;
      findings = now;
      smaller = true;
      break;
    }
  }
  return { schedule: best.value, findings };
}
