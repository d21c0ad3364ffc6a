// The managers of the README's section "Started by a manager", with the files and commands it prints.

import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { dial, head } from "../kit/client.ts";
import { BIN, cleanEnv, NODE } from "../kit/daemon.ts";
import { launch } from "../kit/launch.ts";
import { ask, nextResponse } from "../kit/messages.ts";
import { notifySocket, systemdIsHere } from "../kit/notify.ts";
import { accepts, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { installPm2, pm2 } from "../kit/pm2.ts";
import { descendants, isAlive } from "../kit/processes.ts";
import { commandBlock, project, type Ports } from "../kit/project.ts";
import { readmeBlock, substitute } from "../kit/readme.ts";
import { deadPort, httpUpstream, muxUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const GET = head("GET / HTTP/1.1", "Host: a", "Connection: close");

/** Upstreams, and what the README's ports stand for. `answer` ends the answer to `/slow`. */
async function stage(): Promise<{
  ports: Ports;
  folder: string;
  env: { XDG_RUNTIME_DIR: string };
  answer: () => void;
}> {
  let slow: (() => void) | undefined;
  const web = await httpUpstream((req, res) => {
    if (req.url === "/slow") {
      res.write("begun, ");
      slow = () => res.end("done");
    } else res.end("ok");
  });
  const mux = await muxUpstream();
  const ports = { 3000: await deadPort(), 4000: web.port, 14801: mux.port };
  return { ports, folder: project(), env: ownRuntime(), answer: () => slow?.() };
}

/** A tunnel; resolves when it is open, with the code it will be closed with. */
async function tunnel(port: number): Promise<{ closed: Promise<number> }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mux`);
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  await within(new Promise((resolve) => socket.once("open", resolve)), "a tunnel");
  return { closed };
}

/** The pid of the one that serves a port, when it has its control socket. */
async function served(env: { XDG_RUNTIME_DIR: string }, port: number, not = 0): Promise<number> {
  const path = controlSocket(env, port);
  const pid = async (): Promise<number> =>
    (existsSync(path) ? (await statusOf(path).catch(() => undefined))?.pid : 0) ?? 0;
  return await until(async () => ((await pid()) === not ? 0 : await pid()), "it to serve", 20_000);
}

describe("pm2", () => {
  beforeAll(installPm2, 150_000);

  test("it waits for ready, a reload answers what is in flight, and a stop ends it", async () => {
    const { ports, folder, env, answer } = await stage();
    writeFileSync(join(folder, "ecosystem.config.cjs"), commandBlock("js", "module.exports", ports));
    const manager = pm2(folder, env);
    const started = await manager.run("start", "ecosystem.config.cjs");
    expect(started.code, started.stdout + started.stderr).toBe(0);
    // It was waited for: the port is open when `pm2 start` returns.
    expect((await ask(ports[3000], GET)).body).toBe("ok");
    const first = await manager.app("single-port");
    expect(first).toMatchObject({ restarts: 0, status: "online" });

    const slow = await dial(ports[3000]);
    slow.send(head("GET /slow HTTP/1.1", "Host: a"));
    await slow.readUntil("begun");
    const { closed } = await tunnel(ports[3000]);
    const reloaded = manager.run("reload", "single-port");
    expect(await within(closed, "the tunnel to be closed", 10_000)).toBe(1001);
    // New connections are refused as long as a request is in flight.
    await until(async () => !(await accepts(ports[3000])), "the port to be closed");
    answer();
    expect((await nextResponse(slow)).body).toBe("begun, done");
    expect((await reloaded).code).toBe(0);
    expect((await ask(ports[3000], GET)).body).toBe("ok");
    const second = await manager.app("single-port");
    expect(second).toMatchObject({ restarts: 1, status: "online" });
    expect(second.pid).not.toBe(first.pid);

    expect((await manager.run("stop", "single-port")).code).toBe(0);
    expect(isAlive(second.pid)).toBe(false);
    expect(await accepts(ports[3000])).toBe(false);
  });

  test("a second one takes over: what is in flight is answered, others are served meanwhile, the first stays stopped", async () => {
    const { ports, folder, env, answer } = await stage();
    writeFileSync(join(folder, "ecosystem.config.cjs"), commandBlock("js", "module.exports", ports));
    const manager = pm2(folder, env);
    expect((await manager.run("start", "ecosystem.config.cjs")).code).toBe(0);
    const first = await manager.app("single-port");
    const slow = await dial(ports[3000]);
    slow.send(head("GET /slow HTTP/1.1", "Host: a"));
    await slow.readUntil("begun");
    const { closed } = await tunnel(ports[3000]);
    const started = manager.shell(readmeBlock("sh", "pm2 start"));
    expect(await within(closed, "the tunnel to be closed", 20_000)).toBe(1001);
    // Before Node 22.12 the port is closed for some milliseconds.
    const other = (): Promise<string> => ask(ports[3000], GET).then(({ body }) => body, String);
    await until(async () => (await other()) === "ok", "the second one to serve");
    answer();
    expect((await nextResponse(slow)).body).toBe("begun, done");
    expect((await started).code).toBe(0);
    await until(async () => (await manager.app("single-port")).status === "stopped", "the first to stop", 15_000);
    expect(isAlive(first.pid)).toBe(false);
    expect(await manager.app("single-port")).toMatchObject({ restarts: 0 });
    expect((await manager.run("delete", "single-port")).code).toBe(0);
    expect(await manager.app("single-port-2")).toMatchObject({ restarts: 0, status: "online" });
    expect((await ask(ports[3000], GET)).body).toBe("ok");
  });

  test("its daemon is killed: what it started is gone within 3 s", async () => {
    const { ports, folder, env } = await stage();
    writeFileSync(join(folder, "ecosystem.config.cjs"), commandBlock("js", "module.exports", ports));
    const manager = pm2(folder, env);
    expect((await manager.run("start", "ecosystem.config.cjs")).code).toBe(0);
    const { pid } = await manager.app("single-port");
    const { closed } = await tunnel(ports[3000]);
    process.kill(manager.god(), "SIGKILL");
    expect(await within(closed, "the tunnel to be closed", 3000)).toBe(1001);
    await until(() => !isAlive(pid), "it to be gone", 3000);
    expect(await accepts(ports[3000])).toBe(false);
  });

  test("a port that is held is not tried for ever", async () => {
    const { ports, folder, env } = await stage();
    const stranger = await httpUpstream((_req, res) => res.end("mine"));
    const recipe = commandBlock("js", "module.exports", { ...ports, 3000: stranger.port });
    writeFileSync(join(folder, "ecosystem.config.cjs"), recipe.replace("10_000", "500"));
    const manager = pm2(folder, env);
    await manager.run("start", "ecosystem.config.cjs");
    await until(async () => (await manager.app("single-port")).status === "stopped", "it to be given up", 15_000);
    expect((await manager.app("single-port")).restarts).toBe(0);
  });
});

describe.skipIf(!systemdIsHere)("systemd (needs its tools and python3)", () => {
  test("the units are valid, and the service's command serves on the socket and says so", async () => {
    const { ports, folder, env } = await stage();
    const socket = substitute(readmeBlock("ini", "[Socket]"), { "127.0.0.1:3000": `127.0.0.1:${ports[3000]}` });
    const service = commandBlock("ini", "[Service]", ports);
    const [, listen = ""] = /^ListenStream=(.*)$/m.exec(socket) ?? [];
    const [, command = ""] = /^ExecStart=(.*)$/m.exec(service) ?? [];
    const [, seconds = ""] = /^WatchdogSec=(\d+)$/m.exec(service) ?? [];
    const [, patience = ""] = /^TimeoutStopSec=(\d+)$/m.exec(service) ?? [];
    expect(service).toMatch(/^Type=notify\nNotifyAccess=all$/m);
    // The folder and the program are this machine's.
    const here = substitute(service, { "/usr/bin/node": NODE, "/srv/dashboard": folder });
    writeFileSync(join(folder, "single-port.socket"), socket);
    writeFileSync(join(folder, "single-port.service"), here);
    const files = [join(folder, "single-port.socket"), join(folder, "single-port.service")];
    const verified = spawnSync("systemd-analyze", ["verify", "--man=no", ...files], { encoding: "utf8" });
    expect(verified.stderr.split("\n").filter((line) => line.includes("single-port."))).toEqual([]);

    const { path, lines } = await notifySocket();
    // The watchdog's half minute is one second here.
    expect(Number(seconds)).toBeGreaterThan(1);
    const given = { ...env, NOTIFY_SOCKET: path, WATCHDOG_USEC: "1000000" };
    const pass = Object.entries(given).flatMap(([name, value]) => ["-E", `${name}=${value}`]);
    const words = command.replace("/usr/bin/node", NODE).split(" ");
    const unit = launch("systemd-socket-activate", ["-l", listen, ...pass, ...words], { cwd: folder, env: cleanEnv() });
    await until(() => unit.stderr().includes("Listening on"), "it to listen", 10_000);
    expect((await ask(ports[3000], GET)).body).toBe("ok");
    await until(() => lines().includes("READY=1") && lines().includes("WATCHDOG=1"), "READY=1 and WATCHDOG=1", 10_000);
    const { closed } = await tunnel(ports[3000]);
    process.kill(unit.pid, "SIGTERM");
    expect(await within(closed, "the tunnel to be closed")).toBe(1001);
    expect(await within(unit.exited, "exit", Number(patience) * 1000)).toBe(0);
    await until(() => lines().includes("STOPPING=1"), "STOPPING=1");
  });
});

describe("a Node program", () => {
  test("it hears `ready`, ends it with a message, and learns its exit code", async () => {
    const { ports, folder, env } = await stage();
    writeFileSync(
      join(folder, "start.mjs"),
      substitute(readmeBlock("js", "fork("), {
        '"3000"': `"${ports[3000]}"`,
        '"4000"': `"${ports[4000]}"`,
        '"14801/mux"': `"${ports[14801]}/mux"`,
      }),
    );
    const parent = launch(NODE, ["start.mjs"], { cwd: folder, env: cleanEnv(env) });
    await until(() => /^up$/m.test(parent.stdout()), "`up`", 10_000);
    expect((await ask(ports[3000], GET)).body).toBe("ok");
    const { closed } = await tunnel(ports[3000]);
    parent.child.kill("SIGTERM");
    expect(await within(closed, "the tunnel to be closed")).toBe(1001);
    expect(await within(parent.exited, "its exit")).toBe(0);
    expect(parent.stdout()).toMatch(/^gone 0$/m);
  });
});

describe("a shell script with npx", () => {
  test.each(["SIGTERM", "SIGKILL"] as const)("the script ends by %s: all of it is gone within 3 s", async (signal) => {
    const { ports, folder, env } = await stage();
    writeFileSync(join(folder, "start.sh"), commandBlock("sh", "--parent-pid $$", ports));
    const script = launch("sh", ["start.sh"], { cwd: folder, env: cleanEnv(env) });
    const pid = await served(env, ports[3000]);
    const family = descendants(script.pid);
    expect(family).toContain(pid);
    expect((await ask(ports[3000], GET)).body).toBe("ok");
    const { closed } = await tunnel(ports[3000]);
    process.kill(script.pid, signal);
    expect(await within(closed, "the tunnel to be closed", 3000)).toBe(1001);
    await until(() => !family.some(isAlive), "all to be gone", 3000);
  });
});

test("by hand, as the README says of a new version: the older one exits with 0, the port is never closed for long", async () => {
  const { ports, folder, env } = await stage();
  const args = ["--port", String(ports[3000]), "--http", String(ports[4000]), "--takeover"];
  const older = launch(NODE, [BIN, ...args], { cwd: folder, env: cleanEnv(env) });
  const first = await served(env, ports[3000]);
  launch(NODE, [BIN, ...args], { cwd: folder, env: cleanEnv(env) });
  await served(env, ports[3000], first);
  expect((await ask(ports[3000], GET)).body).toBe("ok");
  expect(await within(older.exited, "the older one to end")).toBe(0);
});
