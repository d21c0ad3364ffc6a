// A Next.js dashboard and a mux of real shells (dashboard/), as processes that can be killed and started again.
// Their packages are installed once into a folder of the system's temporary one, by version.

import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./command.ts";
import { cleanEnv } from "./daemon.ts";
import { atEnd } from "./lifetime.ts";
import { accepts } from "./ops.ts";
import { until } from "./until.ts";
import { deadPort } from "./upstream.ts";

const SOURCE = fileURLToPath(new URL("dashboard", import.meta.url));
/** A registry that is asked for the first time takes its time. */
const INSTALL_MS = 180_000;
const BUILD_MS = 150_000;
const START_MS = 60_000;

/** A process that serves on a port of its own. */
export interface Service {
  port: number;
  /** Starts it, or starts it again; resolves when it accepts. */
  start(): Promise<void>;
  /** Kills it with all its children; resolves when nothing accepts on its port. */
  kill(): Promise<void>;
}

/** A copy of the dashboard. */
export interface Dashboard {
  /** Changes its source while it runs. */
  edit: (file: string, from: string, to: string) => void;
  web: Service;
  mux: Service;
}

/** Installs the packages unless they are there; throws what npm said if it cannot. */
async function packages(): Promise<string> {
  const wanted = readFileSync(join(SOURCE, "package.json"));
  const name = createHash("sha256").update(wanted).update(process.arch).digest("hex").slice(0, 12);
  const folder = join(tmpdir(), `single-port-dashboard-${name}`);
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(`${folder}-`);
  atEnd(() => rmSync(fresh, { recursive: true, force: true }));
  cpSync(join(SOURCE, "package.json"), join(fresh, "package.json"));
  const words = ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
  const npm = await run("npm", words, { cwd: fresh, env: cleanEnv() }, INSTALL_MS);
  if (npm.code !== 0) throw new Error(`the dashboard's packages cannot be installed: ${npm.stderr}`);
  try {
    renameSync(fresh, folder);
  } catch (error) {
    // Somebody else was faster.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Prepares a dashboard; for production it is built. Nothing runs yet. */
export async function dashboard(mode: "production" | "development"): Promise<Dashboard> {
  const folder = mkdtempSync(join(await packages(), "run-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  cpSync(SOURCE, folder, { recursive: true });
  const next = join(folder, "../node_modules/next/dist/bin/next");
  const env = cleanEnv({ NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: mode });
  if (mode === "production") {
    const built = await run(process.execPath, [next, "build"], { cwd: folder, env }, BUILD_MS);
    if (built.code !== 0) throw new Error(`the dashboard cannot be built: ${built.stdout}${built.stderr}`);
  }
  const command = mode === "production" ? "start" : "dev";
  const web = await service(folder, env, (port) => [next, command, "-H", "127.0.0.1", "-p", String(port)]);
  const mux = await service(folder, env, (port) => [join(folder, "mux.mjs"), String(port)]);
  return {
    edit: (file, from, to) => {
      const path = join(folder, file);
      const text = readFileSync(path, "utf8");
      if (!text.includes(from)) throw new Error(`no ${from} in ${file}`);
      writeFileSync(path, text.replace(from, to));
    },
    web,
    mux,
  };
}

async function service(cwd: string, env: NodeJS.ProcessEnv, args: (port: number) => string[]): Promise<Service> {
  const port = await deadPort();
  let child: ChildProcess | undefined;
  let output = "";
  const kill = async (): Promise<void> => {
    if (child?.pid === undefined) return;
    const group = child.pid;
    child = undefined;
    process.kill(-group, "SIGKILL");
    await until(async () => !(await accepts(port)), `port ${port} to be free`);
  };
  atEnd(kill);
  return {
    port,
    start: async () => {
      // A group of its own: Next has children.
      child = spawn(process.execPath, args(port), { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
      await until(() => accepts(port), `${args(port).join(" ")} to listen`, START_MS).catch((error: Error) => {
        throw new Error(`${error.message}: ${output}`);
      });
    },
    kill,
  };
}
