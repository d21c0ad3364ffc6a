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
import { Memory, WARM_UP } from "./memory.ts";
import { Play } from "./player.ts";
import { tell } from "./tell.ts";
import type { Schedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";
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
  /** What was being played when the process crashed. */
  inFlight?: Schedule[];
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

interface FailedPlay extends Found {
  value: fc.Value<Schedule>;
}

/** Behind so many schedules, and at the end, it is looked what they have left: all lanes wait for that. */
const LOOK_EVERY = 5000;
/** And for what walks the whole heap. */
const WALK_EVERY = 25_000;
/** One of so many lanes has a proxy that lasts as long as the lane. */
const LASTING = 4;
/** A worker that has found so many stops: something is wrong altogether. */
const MANY = 10;
/** So often a schedule is played again alone, until one play is not late; and so long behind the time of the job. */
const TRIES_ALONE = 10;
const GRACE_MS = 10_000;

/** How a worker ends that has told of its crash. */
export const CRASHED = 70;

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
  const cpu = process.cpuUsage();
  process.cpuUsage = () => cpu;
}

/** Plays a job. */
export async function work(job: Job, tellProgress: (progress: Progress) => void): Promise<void> {
  const leftovers = new Leftovers(job.dist);
  askCheaply();
  const worker = new Worker(job, tellProgress, leftovers);
  process.once("uncaughtException", (error: Error) => {
    worker.crashed(error);
    process.exitCode = CRASHED;
    if (process.connected) process.disconnect();
    else process.exit();
  });
  const timer = setInterval(() => worker.progress(), 1000);
  const lanes = await Promise.all(Array.from({ length: job.lanes }, (_, n) => worker.open(n)));
  leftovers.begin();
  const left = await Promise.all(lanes.map((lane, n) => worker.run(lane, n)));
  clearInterval(timer);
  await worker.look(true);
  await Promise.all(left.map((lane) => lane.close()));
  worker.check(await leftovers.inProcess());
  worker.progress();
}

class Worker {
  readonly #job: Job;
  readonly #tell: (progress: Progress) => void;
  readonly #leftovers: Leftovers;
  readonly #memory = new Memory();
  readonly #alone = new Alone();
  readonly #deadline: number;
  #left: number;
  #played = 0;
  #late = 0;
  #failed = 0;
  #stopped = false;
  #opened = 0;
  readonly #inFlight = new Set<Schedule>();

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

  /** A crash is a finding: of one of those that are being played. */
  crashed(error: Error): void {
    this.#stopped = true;
    const findings = [`the process crashed: ${error.stack ?? error.message}`];
    this.progress({ findings, after: this.#played, inFlight: [...this.#inFlight] });
  }

  /** What is left behind schedules. */
  check(findings: string[]): void {
    // Where a schedule has failed, its proxy was closed in the middle of something.
    if (findings.length === 0 || this.#failed > 0) return;
    this.#failed += 1;
    this.#stopped = true;
    this.progress({ findings, after: this.#played });
  }

  /** Looks what is left while nothing goes on. */
  async look(all: boolean): Promise<void> {
    await this.#alone.alone(async () => {
      this.check(await this.#memory.judge(this.#played));
      if (all) this.check(await this.#leftovers.inProxies());
    });
  }

  /** Opens a lane at an address that no other has had: what a schedule spoilt must not spoil the next. */
  async open(n: number): Promise<Lane> {
    this.#opened += 1;
    return await Lane.open(
      this.#job.dist,
      `127.${20 + this.#job.worker}.${this.#opened % 256}.${1 + (n % 250)}`,
      n % LASTING === 0,
    );
  }

  /** Plays in a lane until there is nothing left to play; returns the lane that it ends with. */
  async run(first: Lane, n: number): Promise<Lane> {
    const { seed, worker } = this.#job;
    let lane = first;
    const random = samples(schedules, seed * 1_000_003 + worker * 1009 + n);
    while (!this.#stopped && this.#left > 0 && performance.now() < this.#deadline) {
      this.#left -= 1;
      const failed = await this.#alone.together(() => this.#playNext(lane, random));
      this.#played += 1;
      if (this.#played === WARM_UP || this.#played % LOOK_EVERY === 0) await this.look(this.#played % WALK_EVERY === 0);
      if (!failed) continue;
      await lane.close();
      lane = await this.open(n);
      if (failed.late && !(await this.#isFoundAlone(lane, failed.value.value))) this.#late += 1;
      else await this.#onFound(failed, n);
    }
    return lane;
  }

  /** Plays another schedule; undefined when nothing is found. A suspended caller would keep the schedule in memory. */
  async #playNext(lane: Lane, random: () => fc.Value<Schedule>): Promise<FailedPlay | undefined> {
    const value = random();
    this.#inFlight.add(value.value);
    const { findings, late } = await playOnce(lane, value.value);
    this.#inFlight.delete(value.value);
    return findings.length === 0 ? undefined : { value, findings, late };
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

  async #onFound(failed: FailedPlay, n: number): Promise<void> {
    const after = this.#played;
    if (this.#job.first) this.#stopped = true;
    this.#failed += 1;
    if (this.#failed >= MANY) this.#stopped = true;
    const { value, findings } = failed;
    const smaller = this.#job.first ? { schedule: value.value, findings } : await this.#shrink(failed, n);
    this.progress({ ...smaller, after });
  }

  /** A lane to look for smaller schedules in; a failed one has spoilt it. */
  async #shrink({ value, findings }: FailedPlay, n: number): Promise<{ schedule: Schedule; findings: string[] }> {
    let lane = await this.open(n);
    const smaller = await shrink(value, findings, async (schedule) => {
      const found = await this.#alone.together(() => playOnce(lane, schedule));
      if (found.findings.length > 0) {
        await lane.close();
        lane = await this.open(n);
      }
      return found;
    });
    await lane.close();
    return smaller;
  }
}
