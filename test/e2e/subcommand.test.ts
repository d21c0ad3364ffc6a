// Options before and after a subcommand.

import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { BIN, cleanEnv, NODE } from "../kit/daemon.ts";
import { deadPort } from "../kit/upstream.ts";

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(NODE, [BIN, ...args], { env: cleanEnv(), encoding: "utf8", timeout: 10_000 });
}

test("options behind a command are that command's", async () => {
  const port = await deadPort();
  const { status, stdout } = run("check", "--port", "1234", "--http", String(port));
  expect(stdout).toContain("would listen on 127.0.0.1:1234\n");
  expect(stdout).toContain(`HTTP → 127.0.0.1:${port}: cannot be reached`);
  expect(status).toBe(78);
});

test("options in front of a command are refused rather than ignored", () => {
  const { status, stderr } = run("--port", "1234", "check", "--http", "4000");
  expect(stderr).toBe("single-port: option '--port' is given before 'check'. Accepted: after it.\n");
  expect(status).toBe(64);
});
