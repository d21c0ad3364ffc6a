// Binding the port: when it is free, held by another program, and when two instances start at the same moment.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { childServer, tempFolder } from "../kit/child.ts";
import { head } from "../kit/client.ts";
import { run, singlePort } from "../kit/command.ts";
import { BIN, cleanEnv, NODE, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { injected, launchDaemon, listeners } from "../kit/launch.ts";
import { ask } from "../kit/messages.ts";
import { accepts, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { deadPort, httpUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const GET = head("GET / HTTP/1.1", "Host: a", "Connection: close");

/** A daemon whose tries to listen are written down. */
function journal(): { env: Record<string, string>; tries: () => number[] } {
  const file = join(tempFolder(), "tries");
  return {
    env: { ...ownRuntime(), ...injected("listens.mjs"), LISTEN_JOURNAL: file },
    tries: () => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").map(Number) : []),
  };
}

/** Resolves with the daemon, or with why there is none. */
async function startOrFail(args: string[], env: Record<string, string>): Promise<TestDaemon | Error> {
  return await startDaemon(args, env).catch((error: Error) => error);
}

const isDaemon = (one: TestDaemon | Error): one is TestDaemon => !(one instanceof Error);

describe("the port is held by a stranger", () => {
  test("five tries in 2 s, then one line that names it, exit 78; the stranger lives", async () => {
    const stranger = await childServer();
    const { env, tries } = journal();
    const { code, stderr } = await singlePort(["--http", "1", "--port", String(stranger.port)], env);
    expect(code).toBe(78);
    expect(stderr).toMatch(/^single-port: [^\n]+\n$/);
    expect(stderr).toContain(`127.0.0.1:${stranger.port} is in use by process ${stranger.process.pid} (`);
    expect(stderr).toContain("server.mjs");
    const times = tries();
    expect(times).toHaveLength(5);
    expect((times[4] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(1900);
    expect((times[4] ?? 0) - (times[0] ?? 0)).toBeLessThan(3000);
    expect((await ask(stranger.port, GET)).status).toBe(200);
  });

  test("--takeover does nothing to it, not even when one of ours has the same port of another address", async () => {
    const env = ownRuntime();
    const stranger = await childServer();
    const ours = await startDaemon(["--http", "1", "--port", String(stranger.port), "--host", "127.0.0.2"], env);
    const args = ["--http", "1", "--port", String(stranger.port), "--takeover", "--bind-retry", "0"];
    const { code, stderr } = await singlePort(args, env);
    expect([code, stderr]).toEqual([78, expect.stringContaining(`by process ${stranger.process.pid} `)]);
    expect((await ask(stranger.port, GET)).status).toBe(200);
    expect((await statusOf(controlSocket(env, ours.port))).state).toBe("running");
  });

  test("freed while it is waited for: it comes up", async () => {
    const stranger = await childServer();
    const { env, tries } = journal();
    const starting = startDaemon(["--http", "1", "--port", String(stranger.port)], env);
    await until(() => tries().length >= 2, "two tries", 8000);
    await stranger.kill();
    expect((await starting).port).toBe(stranger.port);
  });

  test("on ::1 only: 127.0.0.1 is ours, and ::1 is not", async () => {
    const stranger = createServer();
    await new Promise<void>((resolve) => stranger.listen(0, "::1", resolve));
    onTestFinished(() => void stranger.close());
    const { port } = stranger.address() as AddressInfo;
    const daemon = await startDaemon(["--http", "1", "--port", String(port)], ownRuntime());
    expect(daemon.port).toBe(port);
    const args = ["--http", "1", "--port", String(port), "--host", "::1", "--bind-retry", "0"];
    const { code, stderr } = await singlePort(args, ownRuntime());
    expect([code, stderr]).toEqual([
      78,
      expect.stringContaining(`[::1]:${port} is in use by process ${process.pid} (`),
    ]);
  });

  test("SIGTERM while it is waited for: exit 0 at once, without a word", async () => {
    const stranger = await childServer();
    const { env, tries } = journal();
    const daemon = launchDaemon(["--http", "1", "--port", String(stranger.port), "--bind-retry", "1m"], env);
    await until(() => tries().length >= 1, "a try", 8000);
    daemon.child.kill("SIGTERM");
    expect(await within(daemon.exited, "exit", 1500)).toBe(0);
    expect(daemon.stderr()).toBe("");
    expect((await ask(stranger.port, GET)).status).toBe(200);
  });
});

test("the port is held by one of ours: the line suggests --takeover", async () => {
  const env = ownRuntime();
  const older = await startDaemon(["--http", "1"], env);
  const { code, stderr } = await singlePort(["--http", "1", "--port", String(older.port), "--bind-retry", "0"], env);
  expect(code).toBe(78);
  expect(stderr).toContain("(EADDRINUSE: address already in use)");
  expect(stderr).toContain("; or --takeover, since that is a single-port of this user.");
});

/** Root may listen anywhere: it is run without that right. */
const RIGHTLESS = process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-net_bind_service", "--"] : [];
const forbidsLowPorts =
  process.platform === "linux" &&
  Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8")) > 99 &&
  (RIGHTLESS.length === 0 || spawnSync("setpriv", [...RIGHTLESS.slice(1), "true"]).status === 0);

test.skipIf(!forbidsLowPorts)("a port below 1024 without the right to it: one line, exit 77, at once", async () => {
  const { env, tries } = journal();
  const words = [...RIGHTLESS, NODE, BIN, "--http", "1", "--port", "99"];
  const { code, stderr } = await run(words[0] ?? "", words.slice(1), { env: cleanEnv(env) });
  expect([code, stderr]).toEqual([
    77,
    expect.stringMatching(
      /^single-port: no permission to [^\n]*127\.0\.0\.1:99 \(EACCES: permission denied\)[^\n]*setcap cap_net_bind_service[^\n]*\n$/,
    ),
  ]);
  expect(tries()).toHaveLength(1);
});

describe("two at the same moment", () => {
  test("one runs, the other exits with 78 and names it", async () => {
    const port = await deadPort();
    const env = ownRuntime();
    const args = ["--http", "1", "--port", String(port), "--bind-retry", "500ms"];
    const both = await Promise.all([startOrFail(args, env), startOrFail(args, env)]);
    const [winner, another] = both.filter(isDaemon);
    const loser = both.find((one) => !isDaemon(one));
    expect(another).toBeUndefined();
    expect((loser as Error).message).toContain("ended with 78");
    expect((loser as Error).message).toContain(`is in use by process ${winner?.pid} (`);
    expect((await statusOf(controlSocket(env, port))).pid).toBe(winner?.pid);
  });

  test("three that take over from one: in the end one runs, and the others have ended with 0 or 78", async () => {
    const port = await deadPort();
    const env = ownRuntime();
    const args = ["--http", "1", "--port", String(port), "--takeover", "--bind-retry", "500ms"];
    const old = await startDaemon(args, env);
    const three = await Promise.all([1, 2, 3].map(() => startOrFail(args, env)));
    expect(await within(old.exited, "the old one to end", 6000)).toBe(0);
    const started = three.filter(isDaemon);
    const ended = (): TestDaemon[] => started.filter(({ child }) => child.exitCode !== null);
    await until(() => ended().length === started.length - 1 && listeners(port) === 1, "one to be left", 8000);
    expect(ended().map(({ child }) => child.exitCode)).toEqual(ended().map(() => 0));
    for (const one of three) if (!isDaemon(one)) expect(one.message).toMatch(/ended with (0|78) /);
    const left = started.find(({ child }) => child.exitCode === null);
    expect((await statusOf(controlSocket(env, port))).pid).toBe(left?.pid);
  });
});

test("the control socket of one that was killed is in nobody's way", async () => {
  const env = ownRuntime();
  const first = await startDaemon(["--http", "1"], env);
  const path = controlSocket(env, first.port);
  await until(() => existsSync(path), "the control socket");
  first.child.kill("SIGKILL");
  await first.exited;
  expect(existsSync(path)).toBe(true);
  for (const more of [[], ["--takeover"]]) {
    const next = await startDaemon(["--http", "1", "--port", String(first.port), "--bind-retry", "0", ...more], env);
    await until(async () => (await statusOf(path).catch(() => undefined))?.pid === next.pid, "its status");
    next.child.kill("SIGKILL");
    await next.exited;
  }
});

test("an older self that is frozen is not waited for, named, and not harmed", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const env = ownRuntime();
  const old = await startDaemon(["--http", String(web.port), "--takeover"], env);
  await until(() => existsSync(controlSocket(env, old.port)), "the control socket");
  old.child.kill("SIGSTOP");
  const args = ["--http", "1", "--port", String(old.port), "--takeover", "--bind-retry", "0"];
  const { code, stderr } = await singlePort(args, env);
  old.child.kill("SIGCONT");
  expect([code, stderr]).toEqual([78, expect.stringContaining(`by process ${old.pid} `)]);
  // It heard nothing but a question.
  expect((await ask(old.port, GET)).body).toBe("ok");
});

describe("the address of --admin", () => {
  test("in use: exit 78 before the port is taken", async () => {
    const taken = await httpUpstream((_req, res) => res.end());
    const args = ["--http", "1", "--port", "0", "--admin", String(taken.port), "--log-format", "json"];
    const { code, stdout, stderr } = await singlePort(args, ownRuntime());
    expect(code).toBe(78);
    expect(stderr).toMatch(/^single-port: 127\.0\.0\.1:\d+ is in use \(EADDRINUSE[^\n]*\)\. [^\n]*'--admin'[^\n]*\n$/);
    expect(stdout).not.toContain("listening on");
  });

  test("in use by a stranger when taking over: exit 78, and the older self serves on", async () => {
    const web = await httpUpstream((_req, res) => res.end("ok"));
    const env = ownRuntime();
    const old = await startDaemon(["--http", String(web.port), "--takeover"], env);
    await until(() => existsSync(controlSocket(env, old.port)), "the control socket");
    const args = ["--http", "1", "--port", String(old.port), "--takeover", "--admin", String(web.port)];
    const { code, stderr } = await singlePort(args, env);
    expect([code, stderr]).toEqual([78, expect.stringContaining("'--admin'")]);
    expect((await statusOf(controlSocket(env, old.port))).state).toBe("running");
    expect((await ask(old.port, GET)).body).toBe("ok");
  });

  test("a file that is no socket is left alone", async () => {
    const file = join(tempFolder(), "precious");
    writeFileSync(file, "data");
    const { code, stderr } = await singlePort(["--http", "1", "--port", "0", "--admin", `unix:${file}`], ownRuntime());
    expect([code, stderr]).toEqual([78, expect.stringContaining("'--admin'")]);
    expect(readFileSync(file, "utf8")).toBe("data");
  });

  test("a socket that nobody answers on any more is replaced", async () => {
    const path = join(tempFolder(), "admin.sock");
    const first = await startDaemon(["--http", "1", "--admin", `unix:${path}`], ownRuntime());
    first.child.kill("SIGKILL");
    await first.exited;
    const next = await startDaemon(["--http", "1", "--admin", `unix:${path}`], ownRuntime());
    expect((await statusOf(path)).pid).toBe(next.pid);
  });
});

test("LISTEN_FDS that promises a socket where there is none: one line, exit 78", async () => {
  const script = `LISTEN_FDS=1 LISTEN_PID=$$ exec '${NODE}' '${BIN}' --http 1 --port 0 3</dev/null`;
  const { code, stderr } = await run("sh", ["-c", script], { env: cleanEnv(ownRuntime()) });
  expect([code, stderr]).toEqual([78, expect.stringMatching(/^single-port: [^\n]*LISTEN_FDS[^\n]*\n$/)]);
});

test("LISTEN_FDS that passes two sockets: one line that says why not, exit 78", async () => {
  const script = `LISTEN_FDS=2 LISTEN_PID=$$ exec '${NODE}' '${BIN}' --http 1 --port 0 3</dev/null 4</dev/null`;
  const { code, stderr } = await run("sh", ["-c", script], { env: cleanEnv(ownRuntime()) });
  expect([code, stderr]).toEqual([78, expect.stringMatching(/^single-port: LISTEN_FDS passes 2 [^\n]*one[^\n]*\n$/)]);
});

test("LISTEN_FDS that was meant for another process, by its LISTEN_PID, is of no account", async () => {
  const daemon = await startDaemon(["--http", "1"], { LISTEN_FDS: "1", LISTEN_PID: "1" });
  expect(await accepts(daemon.port)).toBe(true);
});
