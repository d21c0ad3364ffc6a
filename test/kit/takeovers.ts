// Starts one daemon after another on the same port, each taking over from the previous one.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { NODE, startDaemon, type TestDaemon } from "./daemon.ts";
import { controlSocket, ownRuntime, statusOf } from "./ops.ts";
import { deadPort } from "./upstream.ts";
import { until } from "./until.ts";

/** The version of the node that runs the daemon. */
export const version: string = execFileSync(NODE, ["--version"], { encoding: "utf8" }).trim();
const [major = 0, minor = 0] = version.slice(1).split(".").map(Number);
/** Has its net.Server SO_REUSEPORT? */
export const shares: boolean =
  process.platform === "linux" && (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12));

/**
 * A port; `next` starts the next one on it, and resolves when that answers on the control socket at `path`. The first
 * is started plainly, as people do who do not think of a successor yet.
 */
export async function line(
  ...args: string[]
): Promise<{ port: number; path: string; next: () => Promise<TestDaemon> }> {
  const port = await deadPort();
  const env = ownRuntime();
  const path = controlSocket(env, port);
  const all = ["--port", String(port), "--log-level", "info", ...args];
  let count = 0;
  const next = async (): Promise<TestDaemon> => {
    const daemon = await startDaemon(count > 0 ? [...all, "--takeover"] : all, env);
    count += 1;
    await until(
      async () => existsSync(path) && (await statusOf(path).catch(() => undefined))?.pid === daemon.pid,
      "its control socket",
      5000,
    );
    return daemon;
  };
  return { port, path, next };
}
