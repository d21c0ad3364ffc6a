// Clients and upstreams in their own processes, which tests can freeze and kill.

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { cleanEnv, NODE } from "./daemon.ts";
import { until } from "./until.ts";

/** A running peer. */
export interface Peer {
  child: ChildProcess;
  /** What it printed so far. */
  stdout(): string;
  /** The number behind `word` in what it printed, waited for: `port 4000`. */
  printed(word: string, ms?: number): Promise<number>;
  signal(name: "SIGSTOP" | "SIGCONT" | "SIGKILL" | "SIGTERM"): void;
  exited: Promise<void>;
}

/** Starts a script of test/kit/peers; it ends with the test. */
export function startPeer(script: string, args: string[] = []): Peer {
  const path = fileURLToPath(new URL(`peers/${script}`, import.meta.url));
  return startChild(script.endsWith(".py") ? PYTHON : NODE, [path, ...args]);
}

/** Starts any program; it ends with the test. */
export function startChild(program: string, args: string[]): Peer {
  const child = spawn(program, args, { env: cleanEnv(), stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (some: string) => (text += some));
  child.stderr.setEncoding("utf8").on("data", (some: string) => (text += some));
  const exited = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      text += error.message;
      resolve();
    });
    child.once("close", () => resolve());
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  return {
    child,
    exited,
    stdout: () => text,
    printed: async (word, ms = 10_000) => {
      const pattern = new RegExp(`^${word} (\\d+)$`, "m");
      const match = await until(
        () => pattern.exec(text) ?? child.exitCode ?? child.signalCode,
        `"${word} <n>" of ${program} ${args[0]}`,
        ms,
      );
      if (!Array.isArray(match)) throw new Error(`${program} ${args[0]} ended: ${text}`);
      return Number(match[1]);
    },
    signal: (name) => void child.kill(name),
  };
}

/** Debian's Python, which has python3-websockets. */
export const PYTHON = "/usr/bin/python3";

/** Why the Python peers cannot run here; undefined if they can. */
export const noPython: string | undefined = !existsSync(PYTHON)
  ? `${PYTHON} is missing`
  : !existsSync("/usr/lib/python3/dist-packages/websockets")
    ? "python3-websockets is missing"
    : undefined;
