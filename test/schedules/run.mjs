// Bundles the player (Node 20 runs no TypeScript) and starts it. The bundle is one file in the temp folder.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "rolldown";

const folder = mkdtempSync(join(tmpdir(), "single-port-schedules-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "schedules.mjs");
await build({
  input: fileURLToPath(new URL("main.ts", import.meta.url)),
  platform: "node",
  logLevel: "warn",
  output: { file, format: "esm" },
});
const child = spawn(process.execPath, [file, ...process.argv.slice(2)], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.once("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
