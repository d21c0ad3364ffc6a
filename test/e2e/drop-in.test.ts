import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { head } from "../kit/client.ts";
import { cleanEnv, NODE } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { httpUpstream } from "../kit/upstream.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A file that takes the place of another server, where single-port is installed. */
function replacingFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "single-port-replacing-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules/single-port"));
  const file = join(folder, "single-port-server.mjs");
  writeFileSync(file, 'import "single-port/cli";\n');
  return file;
}

test("a file of one import is the replaced server, and ends with the process that started it", async () => {
  const web = await httpUpstream((_req, res) => res.end("served"));
  // HOST as tcsh exports it. A name of no machine, so that listening there would fail.
  const env = cleanEnv({ PORT: "0", NEXT_INTERNAL_PORT: String(web.port), HOST: "mylaptop.invalid" });
  const script = '"$0" "$1" --parent-pid parent & wait';
  const parent = spawn("sh", ["-c", script, NODE, replacingFile()], { env, stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  parent.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  onTestFinished(() => void parent.kill("SIGKILL"));
  const [, port] = await until(() => /listening on (\d+)/.exec(stdout), "the ready line");
  expect(stdout).toContain("/ao-terminal-mux → 127.0.0.1:14801/mux; /mux → 127.0.0.1:14801/mux");
  expect(stdout).toContain("environment HOST=mylaptop.invalid is ignored");
  expect((await ask(Number(port), head("GET / HTTP/1.1", "Host: a"))).body).toBe("served");
  parent.kill("SIGKILL");
  await until(() => stdout.includes('"stopped"'), "its end after its parent's");
});
