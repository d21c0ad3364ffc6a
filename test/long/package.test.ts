import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { head } from "../kit/client.ts";
import { run } from "../kit/command.ts";
import { cleanEnv } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";
import { httpUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

test(
  "the packed package installs into an empty folder, and what npx runs from it serves",
  { timeout: 120_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "single-port-package-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const env = cleanEnv();
    // dist is what the tests run already: packing must not build it anew under their feet.
    const packed = await run(
      "npm",
      ["pack", "--ignore-scripts", "--pack-destination", folder],
      { cwd: ROOT, env },
      60_000,
    );
    expect(packed.code, packed.stderr).toBe(0);
    const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
    expect(tarball).toMatch(/^single-port-\d+\.\d+\.\d+.*\.tgz$/);

    writeFileSync(join(folder, "package.json"), '{ "private": true }');
    const flags = ["--omit=dev", "--prefer-offline", "--no-audit", "--no-fund"];
    const installed = await run("npm", ["install", `./${tarball}`, ...flags], { cwd: folder, env }, 90_000);
    expect(installed.code, installed.stderr).toBe(0);
    const inside = readdirSync(join(folder, "node_modules/single-port"));
    expect(inside.toSorted()).toEqual(expect.arrayContaining(["LICENSE", "bin", "dist", "package.json"]));
    expect(inside).not.toContain("test");
    expect(inside).not.toContain("src");

    const version = await run("npx", ["single-port", "--version"], { cwd: folder, env });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);

    const web = await httpUpstream((_req, res) => res.end("served"));
    const args = ["single-port", "--port", "0", "--http", String(web.port)];
    // A group of its own: npx has a shell between itself and us.
    const child = spawn("npx", args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    onTestFinished(() => {
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    const [, port] = await until(() => /listening on (\d+)/.exec(stdout), "the ready line", 10_000);
    expect((await ask(Number(port), head("GET / HTTP/1.1", "Host: a"))).body).toBe("served");
    process.kill(-(child.pid ?? 0), "SIGTERM");
    await until(() => stdout.includes('"stopped"'), "the end", 5000);
  },
);
