// An update replaces the files of a running proxy: all that it still needs is loaded already.

import { spawn } from "node:child_process";
import { copyFileSync, cpSync, mkdtempSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { cleanEnv, NODE } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";
import { SWITCHING } from "../kit/tunnel.ts";
import { httpUpstream, rawUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

test("a tunnel opens and is pinged when the packages on the disk are gone", async () => {
  const folder = mkdtempSync(join(tmpdir(), "single-port-replaced-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(ROOT, "bin"), join(folder, "bin"), { recursive: true });
  copyFileSync(join(ROOT, "package.json"), join(folder, "package.json"));
  cpSync(join(ROOT, "dist"), join(folder, "dist"), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));

  const web = await httpUpstream((_req, res) => res.end("served"));
  const mux = await rawUpstream();
  const options = ["--port", "0", "--probe-interval", "0", "--ping-interval", "200ms", "--log-format", "json"];
  const targets = ["--http", String(web.port), "--mux", `${mux.port}/mux`];
  const child = spawn(NODE, [join(folder, "bin/single-port.js"), ...options, ...targets], {
    env: cleanEnv(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  const [, port] = await until(() => /listening on (\d+)/.exec(stdout), "the ready line", 10_000);
  expect((await ask(Number(port), head("GET / HTTP/1.1", "Host: a"))).body).toBe("served");

  unlinkSync(join(folder, "node_modules"));
  rmSync(join(folder, "dist"), { recursive: true });
  const client = await dial(Number(port));
  client.send(upgrade("/mux"));
  const far = await mux.next();
  await far.readUntil("\r\n\r\n");
  far.send(SWITCHING);
  // A ping of ours to the client: 8 bytes, not masked.
  await client.readUntil("\x89\x08");
  expect(stdout).not.toContain("bug:");
  expect(child.exitCode).toBeNull();
});
