// A Next.js dashboard and a mux of real shells (dashboard/), as processes that can be killed and started again.
// Their packages are installed once into a folder of the system's temporary one, by version.

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./command.ts";
import { cleanEnv } from "./daemon.ts";
import { folderIn, installed } from "./npm.ts";
import { service, type Service } from "./service.ts";

const SOURCE = fileURLToPath(new URL("dashboard", import.meta.url));
const PACKAGES = JSON.parse(readFileSync(join(SOURCE, "package.json"), "utf8")) as {
  dependencies: Record<string, string>;
};
const BUILD_MS = 150_000;

/** A copy of the dashboard. */
export interface Dashboard {
  /** Changes its source while it runs. */
  edit: (file: string, from: string, to: string) => void;
  web: Service;
  mux: Service;
}

/** Prepares a dashboard; for production it is built. Nothing runs yet. */
export async function dashboard(mode: "production" | "development"): Promise<Dashboard> {
  const folder = folderIn(await installed("dashboard", PACKAGES.dependencies));
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
