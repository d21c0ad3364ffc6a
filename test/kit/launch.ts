// Starts the daemon as a child process that may fail to start: for tests of the start, and of process managers.

import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import { BIN, cleanEnv, NODE, type LogLine } from "./daemon.ts";
import { atEnd } from "./lifetime.ts";
import { until } from "./until.ts";

/** A process that was started. */
export interface Launched {
  child: ChildProcess;
  pid: number;
  stdout(): string;
  stderr(): string;
  /** The lines of its log so far, for `--log-format json`. */
  log(): LogLine[];
  /** The first line of its log that matches, waited for. */
  logged(matches: (line: LogLine) => boolean, what: string, ms?: number): Promise<LogLine>;
  /** The port it listens on, waited for. */
  port(): Promise<number>;
  /** Resolves with the exit code (or signal) once it has ended. */
  exited: Promise<number | string>;
}

/** How many sockets listen on a port, of any process. */
export function listeners(port: number): number {
  const wanted = new RegExp(`^ *\\d+: \\w+:${port.toString(16).toUpperCase().padStart(4, "0")} \\w+:\\w+ 0A `, "gm");
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) => readFileSync(file, "utf8").match(wanted) ?? []).length;
}

/** Environment that loads a file of test/kit/injected into the daemon. */
export function injected(file: string): { NODE_OPTIONS: string } {
  return { NODE_OPTIONS: `--import=${new URL(`injected/${file}`, import.meta.url).href}` };
}

/** Starts any program; it is killed with the test. */
export function launch(file: string, args: string[], options: SpawnOptions = {}): Launched {
  const child = spawn(file, args, { env: cleanEnv(), stdio: ["ignore", "pipe", "pipe"], ...options });
  return watch(child);
}

/** Starts the daemon with a JSON log. */
export function launchDaemon(args: string[], env: Record<string, string> = {}): Launched {
  return launch(NODE, [BIN, "--log-format", "json", "--probe-interval", "0", ...args], { env: cleanEnv(env) });
}

/** Follows a child that was started otherwise (fork); it is killed with the test. */
export function watch(child: ChildProcess): Launched {
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = new Promise<number | string>((resolve) => {
    child.once("error", (error) => {
      stderr += error.message;
      resolve(error.message);
    });
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  atEnd(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const lines = (): LogLine[] =>
    stdout.split("\n").flatMap((line) => (line.startsWith("{") && line.endsWith("}") ? [JSON.parse(line)] : []));
  const logged: Launched["logged"] = (matches, what, ms = 10_000) =>
    until(
      () => {
        if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode} before ${what}: ${stderr}${stdout}`);
        return lines().find(matches);
      },
      `log line: ${what} in ${stdout}${stderr}`,
      ms,
    );
  return {
    child,
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    log: lines,
    logged,
    exited,
    port: async () => {
      const { msg } = await logged((line) => line.msg.startsWith("listening on"), "listening");
      return Number(/^listening on (\d+)/.exec(msg)?.[1]);
    },
  };
}
