// `--on-down`: a command that may bring an upstream back. Run by links.ts when a link is lost.
// Whatever the command does, fails, hangs or floods its output, nothing of it reaches the traffic.

import { spawn, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";

/** Limits of a hook, in milliseconds. */
export interface HookLimits {
  /** Not more often than this for one upstream. */
  everyMs: number;
  killAfterMs: number;
}

const LIMITS: HookLimits = { everyMs: 30_000, killAfterMs: 60_000 };
/** Bytes of output that are logged; the rest is read and dropped. */
const MAX_OUTPUT = 4096;
/** Between two reads of that rest: a command that floods its output must not keep this process busy. */
const FLOOD_PAUSE_MS = 10;

/** How a run ended. */
export interface HookResult {
  code: number | undefined;
  signal: string | undefined;
  /** The command could not be started. */
  error: string | undefined;
  output: string;
  ms: number;
}

/** Who hears of runs. */
export interface HookEvents {
  started(): void;
  ended(result: HookResult): void;
}

/** Runs one command for one upstream, with breaks between. */
export class DownHook {
  readonly #command: string;
  readonly #env: Record<string, string>;
  readonly #events: HookEvents;
  readonly #limits: HookLimits;
  #lastRun = -Infinity;
  #running = false;
  #wanted = false;
  #putOff: NodeJS.Timeout | undefined;

  constructor(
    command: string,
    upstream: { name: string; target: string },
    events: HookEvents,
    limits: HookLimits = LIMITS,
  ) {
    this.#command = command;
    this.#env = { SINGLE_PORT_UPSTREAM: upstream.name, SINGLE_PORT_TARGET: upstream.target };
    this.#events = events;
    this.#limits = limits;
  }

  /**
   * The upstream was lost: runs the command now, or as soon as it may if it ran a moment ago or runs still. Without
   * that, an upstream that dies twice within the break would never be helped again: it is lost only once more.
   */
  down(): void {
    this.#wanted = true;
    this.#runWhenAllowed();
  }

  /** The upstream is back, or we end: a run that was put off is not needed any more. */
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
      // Without a free descriptor (EMFILE) there are no streams, and the error comes as an event.
      stream
        ?.on("error", () => {})
        .on("data", (chunk: Buffer) => {
          if (output.length < MAX_OUTPUT) output = (output + chunk.toString()).slice(0, MAX_OUTPUT);
          else {
            stream.pause();
            setTimeout(() => stream.resume(), FLOOD_PAUSE_MS).unref();
          }
        });
      // What the command leaves running holds its output open; that must not hold us.
      stream?.unref();
    }
    timer = setTimeout(() => kill(child), this.#limits.killAfterMs).unref();
    child.once("error", (error) => end({ error: error.message }));
    // Not "close": a server that the command started in the background keeps the output open, and writes to it.
    child.once("exit", (code, signal) => end({ code: code ?? undefined, signal: signal ?? undefined }));
    // When we end, the command goes on: it may be the one that is starting the upstream.
    child.unref();
  }

  /** Starts the command; returns why that could not even be tried. */
  #spawn(): ChildProcess | string {
    try {
      return spawn(this.#command, {
        shell: true,
        // A group of its own: a shell's children are killed with it.
        detached: process.platform !== "win32",
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...environment(), ...this.#env },
      });
    } catch (error) {
      // Some failures of spawn are thrown (E2BIG), and must not come out of whoever noticed the loss.
      return (error as Error).message;
    }
  }
}

/** What is ours alone to use: with these, a command could speak to systemd for the unit that we are. */
const OURS = new Set(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]);

function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.has(name)));
}

function kill({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(process.platform === "win32" ? pid : -pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}
