// Another project's server as a process on a fixed port, which tests kill, signal and start again with its children.

import { spawn, type ChildProcess } from "node:child_process";
import { atEnd } from "./lifetime.ts";
import { accepts } from "./ops.ts";
import { until } from "./until.ts";
import { deadPort } from "./upstream.ts";

const START_MS = 60_000;

/** A process that serves on a port of its own. */
export interface Service {
  port: number;
  /** Starts it, or starts it again; resolves when it accepts. */
  start(): Promise<void>;
  /** Kills it with all its children; resolves when nothing accepts on its port. */
  kill(): Promise<void>;
  /** Sends a signal to it alone. */
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it has ended, by itself or not. */
  ended(): Promise<void>;
  /** All that it wrote in all its lives. */
  output(): string;
}

/** Prepares a process; it is killed with the test. Nothing runs yet. */
export async function service(
  cwd: string,
  env: NodeJS.ProcessEnv,
  args: (port: number) => string[],
  program: string = process.execPath,
): Promise<Service> {
  const port = await deadPort();
  let child: ChildProcess | undefined;
  let output = "";
  const kill = async (): Promise<void> => {
    if (child?.pid === undefined) return;
    const group = child.pid;
    child = undefined;
    try {
      process.kill(-group, "SIGKILL");
    } catch {
      // All of it has ended already.
    }
    await until(async () => !(await accepts(port)), `port ${port} to be free`);
  };
  atEnd(kill);
  return {
    port,
    start: async () => {
      // A group of its own: some have children.
      child = spawn(program, args(port), { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
      await until(
        () => accepts(port),
        () => `${args(port).join(" ")} to listen; ${output}`,
        START_MS,
      );
    },
    kill,
    ended: async () => {
      const last = child;
      if (!last || last.exitCode !== null || last.signalCode !== null) return;
      await new Promise((resolve) => last.once("exit", resolve));
    },
    signal: (signal) => void child?.kill(signal),
    output: () => output,
  };
}
