// `--on-down`: a command that may bring an upstream back (SPEC 6.4). Run by daemon.ts when a link is lost.
// Whatever the command does, fails, hangs or floods its output, nothing of it reaches the traffic.

import { spawn } from "node:child_process";

/** Not more often than this for one upstream. */
const EVERY_MS = 30_000;
const KILL_AFTER_MS = 60_000;
/** Bytes of output that are logged; the rest is read and dropped. */
const MAX_OUTPUT = 4096;

/** How a run ended. */
export interface HookResult {
  code: number | undefined;
  signal: string | undefined;
  /** The command could not be started. */
  error: string | undefined;
  output: string;
  ms: number;
}

/** Runs one command for one upstream, with breaks between. */
export class DownHook {
  readonly #command: string;
  readonly #env: Record<string, string>;
  readonly #ended: (result: HookResult) => void;
  #lastRun = -Infinity;
  #running = false;

  constructor(command: string, upstream: { name: string; target: string }, ended: (result: HookResult) => void) {
    this.#command = command;
    this.#env = { SINGLE_PORT_UPSTREAM: upstream.name, SINGLE_PORT_TARGET: upstream.target };
    this.#ended = ended;
  }

  /** Runs the command, unless it ran a moment ago or runs still. Returns whether it was started. */
  run(): boolean {
    const started = performance.now();
    if (this.#running || started - this.#lastRun < EVERY_MS) return false;
    this.#lastRun = started;
    // A group of its own: a shell's children are killed with it.
    const child = spawn(this.#command, {
      shell: true,
      detached: process.platform !== "win32",
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...this.#env },
    });
    let output = "";
    const keep = (chunk: string): void => {
      if (output.length < MAX_OUTPUT) output = (output + chunk).slice(0, MAX_OUTPUT);
    };
    child.stdout
      .setEncoding("utf8")
      .on("data", keep)
      .on("error", () => {});
    child.stderr
      .setEncoding("utf8")
      .on("data", keep)
      .on("error", () => {});
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(process.platform === "win32" ? child.pid : -child.pid, "SIGKILL");
      } catch {
        // It has ended already.
      }
    };
    const timer = setTimeout(kill, KILL_AFTER_MS);
    timer.unref();
    this.#running = true;
    let over = false;
    const end = (result: Partial<HookResult>): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      this.#running = false;
      const ms = Math.round(performance.now() - started);
      this.#ended({ code: undefined, signal: undefined, error: undefined, ...result, output: output.trimEnd(), ms });
    };
    child.once("error", (error) => end({ error: error.message }));
    // Not "close": a server that the command started in the background keeps the output open, and writes to it.
    child.once("exit", (code, signal) => end({ code: code ?? undefined, signal: signal ?? undefined }));
    // When we end, the command goes on: it may be the one that is starting the upstream.
    child.unref();
    return true;
  }
}
