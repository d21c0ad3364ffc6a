// The command line, run to its end.

import { spawn, type SpawnOptions } from "node:child_process";
import { onTestFinished } from "vitest";
import { BIN, cleanEnv, NODE } from "./daemon.ts";
import { within } from "./until.ts";

/** What a command left behind. */
export interface Ended {
  /** The exit code, or the signal. */
  code: number | string;
  stdout: string;
  stderr: string;
}

/** Runs any command to its end; it is killed with the test. */
export async function run(file: string, args: string[], options: SpawnOptions = {}, ms = 10_000): Promise<Ended> {
  const child = spawn(file, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await within(
    new Promise<number | string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, signal) => resolve(status ?? signal ?? "unknown"));
    }),
    `${file} ${args.join(" ")} to end`,
    ms,
  );
  return { code, stdout, stderr };
}

/** Runs `single-port` with these arguments, and nothing else in the environment that would configure it. */
export async function singlePort(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return await run(NODE, [BIN, ...args], { env: cleanEnv(env) });
}
