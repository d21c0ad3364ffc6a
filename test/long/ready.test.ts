// The daemon tells its manager when it serves and when it ends, and takes the sockets that systemd hands it.

import { fork, spawnSync } from "node:child_process";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test, vi } from "vitest";
import { tempFolder } from "../kit/child.ts";
import { head } from "../kit/client.ts";
import { BIN, cleanEnv, NODE, startDaemon } from "../kit/daemon.ts";
import { launch, launchDaemon, watch, type Launched } from "../kit/launch.ts";
import { ask } from "../kit/messages.ts";
import { notifySocket, systemdIsHere } from "../kit/notify.ts";
import { accepts, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { isAlive } from "../kit/processes.ts";
import { deadPort, httpUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const GET = head("GET / HTTP/1.1", "Host: a", "Connection: close");
const has = (command: string): boolean => spawnSync(command, ["--version"]).status === 0;

test("one line says where it listens and what goes where", async () => {
  const args = ["--http", "localhost:4000", "--mux", "14801/mux", "--mux", "/term=[::1]:14802"];
  const daemon = await startDaemon(args, ownRuntime());
  const lines = daemon.log.filter(({ msg }) => msg.startsWith("listening on"));
  expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
    [
      30,
      `listening on ${daemon.port}; HTTP → localhost:4000; /ao-terminal-mux → 127.0.0.1:14801/mux; ` +
        `/mux → 127.0.0.1:14801/mux; /term → [::1]:14802; http://127.0.0.1:${daemon.port}`,
    ],
  ]);
});

test("an IPC parent hears `ready` once, when the port is open", async () => {
  const port = await deadPort();
  const args = ["--http", "1", "--port", String(port), "--probe-interval", "0"];
  const child = fork(BIN, args, { env: cleanEnv(ownRuntime()), execPath: NODE, silent: true });
  const daemon = watch(child);
  const said: unknown[] = [];
  let open: Promise<boolean> | undefined;
  child.on("message", (message) => {
    said.push(message);
    open ??= accepts(port);
  });
  await until(() => said.length > 0, "a message", 10_000);
  expect(await open).toBe(true);
  child.send("shutdown");
  expect(await within(daemon.exited, "exit")).toBe(0);
  expect(said).toEqual(["ready"]);
});

test("an IPC parent does not hear `ready` when the port cannot be had", async () => {
  const taken = await httpUpstream((_req, res) => res.end());
  const args = ["--http", "1", "--port", String(taken.port), "--bind-retry", "0"];
  const child = fork(BIN, args, { env: cleanEnv(ownRuntime()), execPath: NODE, silent: true });
  const said: unknown[] = [];
  child.on("message", (message) => said.push(message));
  expect(await within(watch(child).exited, "exit", 10_000)).toBe(78);
  expect(said).toEqual([]);
});

describe.skipIf(!systemdIsHere)("systemd (needs its tools and python3)", () => {
  test("it is told READY=1 with our pid when the port is open, WATCHDOG=1 again and again, STOPPING=1 at the end", async () => {
    const { path, lines } = await notifySocket();
    const port = await deadPort();
    const env = { ...ownRuntime(), NOTIFY_SOCKET: path, WATCHDOG_USEC: "400000" };
    const daemon = launchDaemon(["--http", "1", "--port", String(port)], env);
    await until(() => lines().includes("READY=1"), "READY=1", 10_000);
    expect(await accepts(port)).toBe(true);
    expect(lines()).toContain(`MAINPID=${daemon.pid}`);
    await until(() => lines().filter((line) => line === "WATCHDOG=1").length >= 3, "three WATCHDOG=1", 10_000);
    expect(lines()).not.toContain("STOPPING=1");
    daemon.child.kill("SIGTERM");
    expect(await within(daemon.exited, "exit")).toBe(0);
    await until(() => lines().includes("STOPPING=1"), "STOPPING=1");
    expect(lines().filter((line) => line === "READY=1")).toHaveLength(1);
    expect(daemon.stderr()).toBe("");
  });

  test("no READY=1 when the port cannot be had, and no WATCHDOG=1 that is meant for another process", async () => {
    const { path, lines } = await notifySocket();
    const taken = await httpUpstream((_req, res) => res.end());
    const env = { ...ownRuntime(), NOTIFY_SOCKET: path, WATCHDOG_USEC: "100000", WATCHDOG_PID: "1" };
    const failed = launchDaemon(["--http", "1", "--port", String(taken.port), "--bind-retry", "0"], env);
    expect(await within(failed.exited, "exit", 10_000)).toBe(78);
    const daemon = launchDaemon(["--http", "1", "--port", "0"], env);
    await until(() => lines().includes("READY=1"), "READY=1", 10_000);
    expect(lines()).not.toContain(`MAINPID=${failed.pid}`);
    daemon.child.kill("SIGTERM");
    await until(() => lines().includes("STOPPING=1"), "STOPPING=1");
    expect(lines().filter((line) => !line.startsWith("MAINPID="))).toEqual(["READY=1", "STOPPING=1"]);
  });

  test("a manager that does not listen any more, or whose tool is not there, costs nothing", async () => {
    const env = { ...ownRuntime(), NOTIFY_SOCKET: join(tempFolder(), "nobody"), WATCHDOG_USEC: "100000" };
    const web = await httpUpstream((_req, res) => res.end("ok"));
    for (const more of [{}, { PATH: tempFolder() }]) {
      const daemon = launchDaemon(["--http", String(web.port), "--port", "0"], { ...env, ...more });
      expect((await ask(await daemon.port(), GET)).body).toBe("ok");
      daemon.child.kill("SIGTERM");
      expect(await within(daemon.exited, "exit")).toBe(0);
      expect(daemon.stderr()).toBe("");
    }
  });
});

describe.skipIf(!has("systemd-socket-activate"))(
  "a socket that systemd listens on (needs systemd-socket-activate)",
  () => {
    /** Runs the daemon on a socket, as its unit would; it is started by the first connection. */
    function activated(listen: string, args: string[], env: { XDG_RUNTIME_DIR: string }): Launched {
      const pass = Object.entries(env).flatMap(([name, value]) => ["-E", `${name}=${value}`]);
      const words = [NODE, BIN, "--log-format", "json", "--probe-interval", "0", ...args];
      return launch("systemd-socket-activate", ["-l", listen, ...pass, ...words], { env: cleanEnv() });
    }

    test("it serves on it, the connection that started it first", async () => {
      const web = await httpUpstream((_req, res) => res.end("ok"));
      const port = await deadPort();
      const env = ownRuntime();
      // What --port and --host say is of no account.
      const daemon = activated(`127.0.0.1:${port}`, ["--http", String(web.port), "--port", "1"], env);
      await until(() => daemon.stderr().includes("Listening on"), "it to listen", 10_000);
      expect((await ask(port, GET)).body).toBe("ok");
      expect(await daemon.port()).toBe(port);
      const path = controlSocket(env, port);
      await until(async () => (await statusOf(path).catch(() => undefined))?.pid === daemon.pid, "its status");
      daemon.child.kill("SIGTERM");
      expect(await within(daemon.exited, "exit")).toBe(0);
      expect(await accepts(port)).toBe(false);
    });

    test("a unix socket will do, and who comes by it is believed", async () => {
      const web = await httpUpstream((req, res) => res.end(String(req.headers["x-forwarded-for"])));
      const path = join(tempFolder(), "public");
      const daemon = activated(path, ["--http", String(web.port)], ownRuntime());
      await until(() => daemon.stderr().includes("Listening on"), "it to listen", 10_000);
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        get({ socketPath: path, headers: { "X-Forwarded-For": "203.0.113.7" } }, resolve).on("error", reject);
      });
      expect(await text(answer)).toBe("203.0.113.7");
      expect(daemon.stdout()).toContain("listening on a unix socket;");
      daemon.child.kill("SIGTERM");
      expect(await within(daemon.exited, "exit")).toBe(0);
    });

    test.skipIf(!has("python3"))("a restart behind a socket that stays open loses no connection", async () => {
      const web = await httpUpstream((_req, res) => res.end("ok"));
      const port = await deadPort();
      const env = ownRuntime();
      const words = [String(port), NODE, BIN, "--http", String(web.port), "--probe-interval", "0"];
      const unit = new URL("../kit/children/socket_unit.py", import.meta.url).pathname;
      launch("python3", [unit, ...words], { env: cleanEnv(env) });
      const path = controlSocket(env, port);
      const pid = async (): Promise<number> => (await statusOf(path).catch(() => undefined))?.pid ?? 0;
      const first = await until(pid, "the first", 10_000);
      process.kill(first, "SIGTERM");
      await until(() => !isAlive(first), "the first to end");
      expect((await ask(port, GET)).body).toBe("ok");
      const second = await until(pid, "the second", 10_000);
      expect(second).not.toBe(first);
    });
  },
);
