// `single-port demo` as a child process, with children of its own. It is killed when the test ends.

import { spawn, type ChildProcess } from "node:child_process";
import { onTestFinished } from "vitest";
import { BIN, cleanEnv, NODE } from "./daemon.ts";
import { until } from "./until.ts";

/** A running demo. */
export interface Demo {
  child: ChildProcess;
  port: number;
  livePage: string;
  /** Resolves with the exit code (or signal) once it has ended. */
  exited: Promise<number | string>;
}

/** Starts the demo on a free port; resolves when it has said where it is. */
export async function startDemo(...args: string[]): Promise<Demo> {
  const options = ["demo", "--port", "0", "--log-format", "json", ...args];
  const child = spawn(NODE, [BIN, ...options], { env: cleanEnv(), stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  const exited = new Promise<number | string>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const port = await until(
    () => /the demo is at http:\/\/127\.0\.0\.1:(\d+)\//.exec(out)?.[1],
    "the demo's URL",
    10_000,
  );
  const livePage = /its live page at (\S+)/.exec(out)?.[1] ?? "";
  return { child, port: Number(port), livePage, exited };
}
