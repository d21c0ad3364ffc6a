// The parent is killed, and no signal tells the daemon so.

import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { tempFolder } from "../kit/child.ts";
import { dial, head, upgrade } from "../kit/client.ts";
import { BIN, cleanEnv, NODE } from "../kit/daemon.ts";
import { injected, launch } from "../kit/launch.ts";
import { ask } from "../kit/messages.ts";
import { accepts, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { descendants, isAlive } from "../kit/processes.ts";
import { deadPort, httpUpstream, muxUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

// npx alone takes seconds on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const PARENT = fileURLToPath(new URL("../kit/children/parent.mjs", import.meta.url));
const GET = head("GET / HTTP/1.1", "Host: a");

/** Starts a parent that starts the daemon in this way; resolves when that serves. */
async function startedBy(way: string): Promise<{ port: number; parent: number; pid: number; codes: () => string }> {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const mux = await muxUpstream();
  const port = await deadPort();
  const journal = join(tempFolder(), "codes");
  const runtime = ownRuntime();
  const project = tempFolder();
  mkdirSync(join(project, "node_modules/.bin"), { recursive: true });
  symlinkSync(BIN, join(project, "node_modules/.bin/single-port"));
  const args = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--port", String(port), "--access-log"];
  const { pid: parent } = launch(NODE, [PARENT, way, NODE, BIN, ...args], {
    cwd: project,
    env: cleanEnv({ ...runtime, ...injected("exits.mjs"), EXIT_JOURNAL: journal }),
  });
  const path = controlSocket(runtime, port);
  await until(() => existsSync(path), "the control socket", 20_000);
  const { pid } = await statusOf(path);
  return { port, parent, pid, codes: () => (existsSync(journal) ? readFileSync(journal, "utf8") : "") };
}

test.each(["fork", "spawn", "sh", "npx", "detached"])(
  "started by %s: within 3 s after the parent's SIGKILL all of it is gone, politely",
  async (way) => {
    const { port, parent, pid, codes } = await startedBy(way);
    const family = descendants(parent);
    expect(family).toContain(pid);
    expect(family.length).toBeGreaterThanOrEqual(way === "sh" || way === "npx" ? 2 : 1);
    const tunnel = await dial(port);
    tunnel.send(upgrade("/mux"));
    await tunnel.readUntil("101 Switching Protocols");
    process.kill(parent, "SIGKILL");
    const killed = performance.now();
    // Its line goes to a pipe that nobody reads.
    await ask(port, GET).catch(() => undefined);
    await tunnel.readUntil("\x88\x02\x03\xe9", 3000);
    await until(() => !family.some(isAlive), `${String(family)} to be gone`, 3000 - (performance.now() - killed));
    expect(codes()).toContain("0\n");
    expect(codes().replaceAll("0\n", "")).toBe("");
    expect(await accepts(port)).toBe(false);
  },
);

test("without --parent-pid and without IPC it lives on", async () => {
  const { port, parent, pid } = await startedBy("on its own");
  expect(descendants(parent)).toEqual([pid]);
  process.kill(parent, "SIGKILL");
  await until(() => !isAlive(parent), "the parent to be gone");
  // More than a pipe and a log's buffer hold would only be a longer test: each line meets the broken pipe.
  for (let i = 0; i < 50; i += 1) expect((await ask(port, GET)).body).toBe("ok");
  expect(isAlive(pid)).toBe(true);
  process.kill(pid, "SIGTERM");
  await until(() => !isAlive(pid), "it to end", 5000);
});

test("a parent that is gone before it looks: it ends all the same", async () => {
  const gone = launch(NODE, ["-e", ""]);
  await gone.exited;
  const args = ["--http", "1", "--port", "0", "--parent-pid", String(gone.pid)];
  const daemon = launch(NODE, [BIN, ...args], { env: cleanEnv(ownRuntime()) });
  await expect(Promise.race([daemon.exited, until(() => false, "it to end", 5000)])).resolves.toBe(0);
});

test("a parent whose IPC channel is closed before it looks: it ends all the same", async () => {
  // The channel is closed as soon as the child is there, long before its modules are loaded.
  const script = `const { fork } = require("node:child_process");
    const child = fork(process.argv[1], process.argv.slice(2), { execPath: process.execPath, stdio: "inherit" });
    child.disconnect();
    child.on("exit", (code) => process.exit(code));`;
  // fork() needs a channel in its stdio.
  const args = ["-e", script.replace('"inherit"', '["ignore", "inherit", "inherit", "ipc"]'), BIN];
  const daemon = launch(NODE, [...args, "--http", "1", "--port", "0"], { env: cleanEnv(ownRuntime()) });
  await expect(Promise.race([daemon.exited, until(() => false, "it to end", 5000)])).resolves.toBe(0);
});
