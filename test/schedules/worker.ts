// One process of players: as many lanes as keep the processor busy while schedules wait for limits.

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import fc from "fast-check";
import { Alone } from "./alone.ts";
import { schedules } from "./generate.ts";
import { isLate } from "./facts.ts";
import { judge } from "./judge.ts";
import { Lane } from "./lane.ts";
import { Leftovers } from "./leftovers.ts";
import { Play } from "./player.ts";
import { tell } from "./tell.ts";
import type { Schedule } from "./schedule.ts";
import { samples } from "./samples.ts";

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

/** A schedule that failed; without one, something that is wrong behind all of them. */
export interface Failed {
  findings: string[];
  schedule?: Schedule;
  /** How many schedules had been played when it failed. */
  after: number;
}

/** How far a worker is. */
export interface Progress {
  played: number;
  /** Schedules whose findings were made on a machine that was late, and that had none when played alone. */
  late: number;
  failed?: Failed;
}

/** What was found in a play. Late is one in which our own event loop, or the whole machine, took its time. */
export interface Found {
  findings: string[];
  late: boolean;
}

/** Behind so many schedules, and at the end, it is looked what they have left: that walks the whole heap. */
const LOOK_EVERY = 10_000;
/** A worker that has found so many stops: something is wrong altogether. */
const MANY = 10;
/** So often a schedule is played again alone, until one play is not late; and so long behind the time of the job. */
const TRIES_ALONE = 10;
const GRACE_MS = 10_000;

/** Plays a schedule once; returns what was found. */
export async function playOnce(lane: Lane, schedule: Schedule, told?: string[]): Promise<Found> {
  const played = await new Play(lane, schedule).run();
  told?.push(...tell(played));
  const findings = judge(played);
  const { ms, scriptMs, lagMs } = played;
  if (findings.length > 0)
    findings.push(
      `(${Math.round(ms)} ms, of them ${Math.round(scriptMs)} for the script; our own loop stood still for ${Math.round(lagMs)} ms)`,
    );
  return { findings, late: isLate(played) };
}

/**
 * A status counts the descriptors of its process and its memory: asked for after each schedule, that takes a tenth of
 * all time, and no schedule has a use for it.
 */
function askCheaply(): void {
  const { readdirSync } = fs;
  fs.readdirSync = ((...args: Parameters<typeof readdirSync>) =>
    args[0] === "/proc/self/fd" ? [] : readdirSync(...args)) as typeof readdirSync;
  syncBuiltinESMExports();
  const usage = process.memoryUsage();
  process.memoryUsage = Object.assign(() => usage, { rss: () => usage.rss });
}

/** Plays a job. */
export async function work(job: Job, tellProgress: (progress: Progress) => void): Promise<void> {
  const leftovers = new Leftovers(job.dist);
  askCheaply();
  const worker = new Worker(job, tellProgress, leftovers);
  const timer = setInterval(() => worker.progress(), 1000);
  const lanes = await Promise.all(Array.from({ length: job.lanes }, (_, n) => worker.open(n)));
  const left = await Promise.all(lanes.map((lane, n) => worker.run(lane, n)));
  clearInterval(timer);
  await worker.checkProxies();
  await Promise.all(left.map((lane) => lane.close()));
  worker.check(await leftovers.inProcess());
  worker.progress();
}

class Worker {
  readonly #job: Job;
  readonly #tell: (progress: Progress) => void;
  readonly #leftovers: Leftovers;
  readonly #alone = new Alone();
  readonly #deadline: number;
  #left: number;
  #played = 0;
  #late = 0;
  #failed = 0;
  #stopped = false;
  #opened = 0;

  constructor(job: Job, tell: (progress: Progress) => void, leftovers: Leftovers) {
    this.#job = job;
    this.#leftovers = leftovers;
    this.#tell = tell;
    this.#left = job.count;
    this.#deadline = performance.now() + job.seconds * 1000;
  }

  progress(failed?: Failed): void {
    this.#tell({ played: this.#played, late: this.#late, ...(failed && { failed }) });
  }

  /** What is left behind schedules. */
  check(findings: string[]): void {
    // Where a schedule has failed, its proxy was closed in the middle of something.
    if (findings.length === 0 || this.#failed > 0) return;
    this.#failed += 1;
    this.#stopped = true;
    this.progress({ findings, after: this.#played });
  }

  /** What is left in proxies while nothing goes on in them. */
  async checkProxies(): Promise<void> {
    await this.#alone.alone(async () => this.check(await this.#leftovers.inProxies()));
  }

  /** Opens a lane at an address that no other has had: what a schedule spoilt must not spoil the next. */
  async open(n: number): Promise<Lane> {
    this.#opened += 1;
    return await Lane.open(this.#job.dist, `127.${20 + this.#job.worker}.${this.#opened % 256}.${1 + (n % 250)}`);
  }

  /** Plays in a lane until there is nothing left to play; returns the lane that it ends with. */
  async run(first: Lane, n: number): Promise<Lane> {
    const { seed, worker } = this.#job;
    let lane = first;
    const random = samples(schedules, seed * 1_000_003 + worker * 1009 + n);
    while (!this.#stopped && this.#left > 0 && performance.now() < this.#deadline) {
      this.#left -= 1;
      const value = random();
      const { findings, late } = await this.#alone.together(() => playOnce(lane, value.value));
      this.#played += 1;
      if (this.#played % LOOK_EVERY === 0) await this.checkProxies();
      if (findings.length === 0) continue;
      await lane.close();
      lane = await this.open(n);
      if (late && !(await this.#isFoundAlone(lane, value.value))) this.#late += 1;
      else await this.#onFound(value, findings, n);
    }
    return lane;
  }

  async #isFoundAlone(lane: Lane, schedule: Schedule): Promise<boolean> {
    return await this.#alone.alone(async () => {
      const deadline = this.#deadline + GRACE_MS;
      for (let tries = 0; tries < TRIES_ALONE && performance.now() < deadline; tries += 1) {
        const { findings, late } = await playOnce(lane, schedule);
        if (!late || findings.length === 0) return findings.length > 0;
      }
      return false;
    });
  }

  async #onFound(value: fc.Value<Schedule>, findings: string[], n: number): Promise<void> {
    const after = this.#played;
    if (this.#job.first) this.#stopped = true;
    this.#failed += 1;
    if (this.#failed >= MANY) this.#stopped = true;
    const smaller = this.#job.first ? { schedule: value.value, findings } : await this.#shrink(value, findings, n);
    this.progress({ ...smaller, after });
  }

  /** Looks for a smaller schedule that fails, too. */
  async #shrink(
    value: fc.Value<Schedule>,
    found: string[],
    n: number,
  ): Promise<{ schedule: Schedule; findings: string[] }> {
    let [best, findings] = [value, found];
    let tries = SHRINK_TRIES;
    const deadline = performance.now() + SHRINK_MS;
    let lane = await this.open(n);
    for (let smaller = true; smaller;) {
      smaller = false;
      for (const next of schedules.shrink(best.value, best.context)) {
        if ((tries -= 1) <= 0 || performance.now() > deadline) break;
        const now = await this.#alone.together(() => playOnce(lane, next.value));
        if (now.findings.length === 0 || now.late || kindOf(now.findings) !== kindOf(findings)) continue;
        await lane.close();
        lane = await this.open(n);
        [best, findings] = [next, now.findings];
        smaller = true;
        break;
      }
    }
    await lane.close();
    return { schedule: best.value, findings };
  }
}

const SHRINK_TRIES = 300;
const SHRINK_MS = 15_000;

/** What kind of finding it is, whoever it is about: a smaller schedule has to show the same. */
function kindOf(findings: string[]): string {
  return (findings[0] ?? "").replaceAll(/[0-9a-z]+\.\d\.\d|\d+|"[^"]*"/g, "_");
}
