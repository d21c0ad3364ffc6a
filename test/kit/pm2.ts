// pm2 from npm, installed once into the temporary folder of this machine: it is no dependency of ours.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { tempFolder } from "./child.ts";
import { run, type Ended } from "./command.ts";
import { cleanEnv } from "./daemon.ts";
import { installed } from "./npm.ts";

const VERSION = "6.0.14";
let folder = "";

/** Installs pm2, if no test file has yet. Takes long: for beforeAll(). */
export async function installPm2(): Promise<void> {
  folder = await installed("pm2", { pm2: VERSION });
}

/** A pm2 of this test's own, in whose folder `cwd` the files of its apps are. */
export interface Pm2 {
  run(...args: string[]): Promise<Ended>;
  /** Runs a script with `pm2` in it. */
  shell(script: string): Promise<Ended>;
  /** What is known of an app: its pid, its restarts, its status. */
  app(name: string): Promise<{ pid: number; restarts: number; status: string }>;
  /** The pid of pm2's own daemon, which is the parent of all apps. */
  god(): number;
}

interface Listed {
  name: string;
  pid: number;
  pm2_env: { restart_time: number; status: string };
}

/** Starts nothing yet; what it starts ends with the test. */
export function pm2(cwd: string, env: Record<string, string>): Pm2 {
  const home = tempFolder();
  // It would ask its maker whether there is a newer version.
  const own = cleanEnv({ ...env, PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: "true", NO_COLOR: "1" });
  const bin = join(folder, "node_modules/pm2/bin/pm2");
  const act = (...args: string[]): Promise<Ended> => run(process.execPath, [bin, ...args], { cwd, env: own }, 30_000);
  onTestFinished(() => void execFileSync(process.execPath, [bin, "kill"], { cwd, env: own, stdio: "ignore" }), 30_000);
  return {
    run: act,
    shell: (script) => {
      const path = `${join(folder, "node_modules/.bin")}:${process.env["PATH"]}`;
      return run("sh", ["-c", script], { cwd, env: { ...own, PATH: path } }, 30_000);
    },
    app: async (name) => {
      const { stdout } = await act("jlist", "--silent");
      const list = JSON.parse(stdout.slice(stdout.lastIndexOf("\n[") + 1)) as Listed[];
      const found = list.find((one) => one.name === name);
      if (!found) throw new Error(`pm2 has no app ${name}: ${stdout}`);
      return { pid: found.pid, restarts: found.pm2_env.restart_time, status: found.pm2_env.status };
    },
    god: () => Number(readFileSync(join(home, "pm2.pid"), "utf8")),
  };
}
