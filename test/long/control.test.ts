// The control socket: for its own user only, and never in the way of the proxy.

import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect, test, vi } from "vitest";
import { followControl } from "../../src/ops/control.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { singlePort } from "../kit/command.ts";
import { ask, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { until } from "../kit/until.ts";
import { deadPort, httpUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 30_000 });

const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;

async function start(env: { XDG_RUNTIME_DIR: string }, port = 0): Promise<TestDaemon> {
  const web = await httpUpstream((_req, res) => res.end("served"));
  return await startDaemon(["--http", String(web.port), "--port", String(port)], env);
}

/** Has come so far that a control socket would be there, if it could be. */
async function refusedControl(daemon: TestDaemon, why: RegExp): Promise<void> {
  const line = await daemon.logged(({ msg }) => msg.startsWith("no control socket"), "no control socket");
  expect(line.level).toBe(40);
  expect((line["err"] as { message: string }).message).toMatch(why);
  expect((await ask(daemon.port, "/")).body).toBe("served");
}

/** What another user gets when it connects. */
function asNobody(path: string): string {
  const script = `require("net").connect(${JSON.stringify(path)}).on("connect",()=>{console.log("connected");process.exit()}).on("error",(e)=>console.log(e.code))`;
  return execFileSync(process.execPath, ["-e", script], {
    uid: NOBODY,
    gid: NOBODY,
    encoding: "utf8",
    cwd: "/",
  }).trim();
}
const nobodyRuns =
  isRoot && spawnSync(process.execPath, ["-e", ""], { uid: NOBODY, gid: NOBODY, cwd: "/" }).status === 0;

test("it is 0600 in a folder of 0700, and gone when the proxy is", async () => {
  const env = ownRuntime();
  const daemon = await start(env);
  const path = controlSocket(env, daemon.port);
  await until(() => existsSync(path), "the socket");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  expect(readdirSync(dirname(path))).toEqual([`${daemon.port}.sock`]);
  expect(await daemon.stop()).toBe(0);
  expect(readdirSync(dirname(path))).toEqual([]);
});

test("a folder that was open to others is closed first", async () => {
  const env = ownRuntime();
  const folder = dirname(controlSocket(env, 0));
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  const daemon = await start(env);
  await until(() => existsSync(controlSocket(env, daemon.port)), "the socket");
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test.skipIf(!nobodyRuns)("another user cannot open it, by its folder and by itself (needs root)", async () => {
  const env = ownRuntime();
  chmodSync(env.XDG_RUNTIME_DIR, 0o755);
  const daemon = await start(env);
  const path = controlSocket(env, daemon.port);
  await until(() => existsSync(path), "the socket");
  expect(asNobody(path)).toBe("EACCES");
  chmodSync(dirname(path), 0o711);
  expect(asNobody(path)).toBe("EACCES");
  // And only because of that: the test itself can see a socket.
  chmodSync(path, 0o666);
  expect(asNobody(path)).toBe("connected");
});

test("a symlink in its place is refused, and what it points to is left alone", async () => {
  const env = ownRuntime();
  const port = await deadPort();
  const path = controlSocket(env, port);
  const victim = join(env.XDG_RUNTIME_DIR, "victim");
  writeFileSync(victim, "precious");
  mkdirSync(dirname(path), { mode: 0o700 });
  symlinkSync(victim, path);
  const daemon = await start(env, port);
  await refusedControl(daemon, /is not a socket of this user/);
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
  expect(readdirSync(dirname(path))).toEqual([`${port}.sock`]);
  expect(await daemon.stop()).toBe(0);
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
  expect(statSync(victim).size).toBe(8);
});

test("a runtime folder whose name is too long for a socket only costs the socket", async () => {
  const env = { XDG_RUNTIME_DIR: join(ownRuntime().XDG_RUNTIME_DIR, "x".repeat(120)) };
  mkdirSync(env.XDG_RUNTIME_DIR);
  await refusedControl(await start(env), /./);
});

test("the stale socket of one that was killed is taken over, and disturbs nobody else", async () => {
  const env = ownRuntime();
  const killed = await start(env);
  const path = controlSocket(env, killed.port);
  await until(() => existsSync(path), "the socket");
  killed.child.kill("SIGKILL");
  await killed.exited;
  expect(existsSync(path)).toBe(true);
  expect(await singlePort(["status"], env)).toMatchObject({ code: 69 });

  const other = await start(env);
  await until(() => existsSync(controlSocket(env, other.port)), "the other's socket");
  expect((await singlePort(["status"], env)).stdout).toContain(`127.0.0.1:${other.port}`);

  const next = await start(env, killed.port);
  await until(
    async () => (await statusOf(path).catch(() => undefined))?.pid === next.pid,
    "the next one's socket",
    5000,
  );
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test.each(["its socket", "its folder"])(
  "%s is removed by a cleanup: it is put back, and those who follow it stay",
  async (what) => {
    const env = ownRuntime();
    const daemon = await start(env);
    const path = controlSocket(env, daemon.port);
    await until(() => existsSync(path), "the socket");
    const following = new Promise((resolve) => followControl(path, { event: () => {}, lost: () => resolve("lost") }));
    rmSync(what === "its socket" ? path : dirname(path), { recursive: true });
    await until(() => existsSync(path), "the socket to be put back");
    expect((await statusOf(path)).pid).toBe(daemon.pid);
    expect(await Promise.race([following, Promise.resolve("there")])).toBe("there");
    await daemon.logged(({ msg }) => msg.startsWith("the control socket was removed"), "a word of it");
    expect(await daemon.stop()).toBe(0);
    expect(readdirSync(dirname(path))).toEqual([]);
  },
);

test("two proxies on two ports have a socket each; the end of one leaves the other's", async () => {
  const env = ownRuntime();
  const [one, two] = [await start(env), await start(env)];
  const paths = [controlSocket(env, one.port), controlSocket(env, two.port)];
  for (const path of paths) await until(() => existsSync(path), "the socket");
  expect((await statusOf(paths[0] ?? "")).pid).toBe(one.pid);
  expect((await statusOf(paths[1] ?? "")).pid).toBe(two.pid);
  expect(await one.stop()).toBe(0);
  expect((await statusOf(paths[1] ?? "")).pid).toBe(two.pid);
  expect(existsSync(paths[0] ?? "")).toBe(false);
});
