// The notify socket of a service manager, and whether systemd's tools are there to speak to it.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { tempFolder } from "./child.ts";
import { launch } from "./launch.ts";
import { until } from "./until.ts";

const SERVER = fileURLToPath(new URL("children/notified.py", import.meta.url));
const has = (command: string): boolean => spawnSync(command, ["--version"]).status === 0;

/** Debian's package is enough; systemd need not run. Node cannot open the datagram socket, python can. */
export const systemdIsHere: boolean = ["systemd-notify", "systemd-socket-activate", "python3"].every(has);

/** A notify socket: what came on it, as lines of `NAME=value`. */
export async function notifySocket(): Promise<{ path: string; lines: () => string[] }> {
  const path = join(tempFolder(), "notify");
  const server = launch("python3", [SERVER, path]);
  await until(() => server.stdout().includes("bound"), "the notify socket", 10_000);
  return { path, lines: () => server.stdout().split("\n").slice(1, -1) };
}
