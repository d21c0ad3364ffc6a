// Runs the command of `--on-down`, which may bring an upstream back. Called by proxy/links.ts when a link is lost.
// A command that fails, hangs or floods its output does not affect the traffic.

import { spawn, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import type { Upstream } from "./upstream.ts";

/** Limits of a hook, in milliseconds. */
export interface HookLimits {
  /** Min time between two runs for one upstream. */
  everyMs: number;
  killAfterMs: number;
}

const LIMITS: HookLimits = { everyMs: 30_000, killAfterMs: 60_000 };
/** Max characters of output that are logged; the rest is discarded. */
const MAX_OUTPUT = 4096;
/** Pause between two reads of the rest, in milliseconds, so that a flood of output does not keep this process busy. */
const FLOOD_PAUSE_MS = 10;

/** How a run ended. */
export interface HookResult {
  code: number | undefined;
  signal: string | undefined;
  /** Why the command could not be started. */
  error: string | undefined;
  output: string;
  ms: number;
}

/** Is told when a run starts and ends. */
export interface HookEvents {
  started(): void;
  ended(result: HookResult): void;
}

/** Runs the command for one upstream, one run at a time. */
export class DownHook {
  readonly #command: string;
  readonly #upstream: Pick<Upstream, "name" | "label">;
  readonly #events: HookEvents;
  readonly #limits: HookLimits;
  #lastRun = -Infinity;
  #running = false;
  #wanted = false;
  #putOff: NodeJS.Timeout | undefined;

  constructor(
    command: string,
    upstream: Pick<Upstream, "name" | "label">,
    events: HookEvents,
    limits: HookLimits = LIMITS,
  ) {
    this.#command = command;
    this.#upstream = upstream;
    this.#events = events;
    this.#limits = limits;
  }

  /**
   * The upstream was lost: runs the command now, or later when it still runs or ran less than `everyMs` ago. Skipping
   * the run instead would leave an upstream down that dies twice within that time, since no third loss follows.
   */
  down(): void {
    this.#wanted = true;
    this.#runWhenAllowed();
  }

  /** Cancels a delayed run: the upstream is back, or this process ends. */
  cancel(): void {
    this.#wanted = false;
    clearTimeout(this.#putOff);
  }

  #runWhenAllowed(): void {
    clearTimeout(this.#putOff);
    if (this.#running || !this.#wanted) return;
    const wait = this.#lastRun + this.#limits.everyMs - performance.now();
    if (wait > 0) {
      this.#putOff = setTimeout(() => this.#runWhenAllowed(), wait).unref();
      return;
    }
    this.#wanted = false;
    this.#run();
  }

  #run(): void {
    const started = performance.now();
    this.#lastRun = started;
    this.#running = true;
    this.#events.started();
    let output = "";
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    const end = (result: Partial<HookResult>): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      this.#running = false;
      const ms = Math.round(performance.now() - started);
      const rest = { code: undefined, signal: undefined, error: undefined };
      this.#events.ended({ ...rest, ...result, output: output.trimEnd(), ms });
      this.#runWhenAllowed();
    };
    const child = this.#spawn();
    if (typeof child === "string") return end({ error: child });
    for (const stream of [child.stdout, child.stderr] as (Socket | null | undefined)[]) {
      // Without a free descriptor (EMFILE) the child has no streams, and emits 'error'.
      stream
        ?.on("error", () => {})
        .on("data", (chunk: Buffer) => {
          if (output.length < MAX_OUTPUT) output = (output + chunk.toString()).slice(0, MAX_OUTPUT);
          else {
            stream.pause();
            setTimeout(() => stream.resume(), FLOOD_PAUSE_MS).unref();
          }
        });
      // A process that the command leaves running keeps its output open; that must not keep this process alive.
      stream?.unref();
    }
    timer = setTimeout(() => kill(child), this.#limits.killAfterMs).unref();
    child.once("error", (error) => end({ error: error.message }));
    // Not 'close': a server that the command starts in the background keeps the output open.
    child.once("exit", (code, signal) => end({ code: code ?? undefined, signal: signal ?? undefined }));
    // The command goes on when this process ends: it may be starting the upstream.
    child.unref();
  }

  /** Starts the command; returns the error message when spawn() throws. */
  #spawn(): ChildProcess | string {
    try {
      // Not in the constructor: the label changes when the upstream is found at its second address.
      const { name, label } = this.#upstream;
      return spawn(this.#command, {
        shell: true,
        // In its own process group, so that kill() ends the shell's children, too.
        detached: process.platform !== "win32",
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...environment(), SINGLE_PORT_UPSTREAM: name, SINGLE_PORT_TARGET: label },
      });
    } catch (error) {
      // spawn() throws some errors (E2BIG); the caller is code that relays traffic, and must not get them.
      return (error as Error).message;
    }
  }
}

/** Variables that the command must not inherit: with them it could notify systemd in the name of this process. */
const OURS = new Set(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]);

function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.has(name)));
}

function kill({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(process.platform === "win32" ? pid : -pid, "SIGKILL");
  } catch {
    // The command has ended already.
  }
}
