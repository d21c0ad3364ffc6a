// `single-port status`: found by itself, read at a glance, and a terminal that is given back.

import { spawn, spawnSync, type SpawnSyncReturns } from "node:child_process";
import { existsSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";
import { dial, upgrade } from "../kit/client.ts";
import { tempFolder } from "../kit/child.ts";
import { singlePort } from "../kit/command.ts";
import { BIN, cleanEnv, NODE, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { ask, controlSocket, exitOf, ownRuntime } from "../kit/ops.ts";
import { until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, muxUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 60_000 });

type Env = ReturnType<typeof ownRuntime>;

/** A proxy with a web server, a mux with `tunnels` open ones, and a mux that is not there. */
async function serving(env: Env, tunnels = 0, port = 0): Promise<TestDaemon> {
  const web = await httpUpstream((req, res) =>
    req.url?.startsWith("/reset") ? void req.socket.resetAndDestroy() : void res.end("ok"),
  );
  const mux = await muxUpstream();
  const muxes = ["--mux", `${mux.port}/mux`, "--mux", `/away=${await deadPort()}/x`];
  const args = ["--http", String(web.port), ...muxes, "--probe-interval", "200ms", "--port", String(port)];
  const daemon = await startDaemon(args, env);
  await until(() => existsSync(controlSocket(env, daemon.port)), "the control socket");
  for (let i = 0; i < tunnels; i += 1) {
    const tunnel = await dial(daemon.port);
    tunnel.send(upgrade("/mux"));
    await tunnel.readUntil("101 Switching", 5000);
  }
  return daemon;
}

test("who listens on the port without a control socket is named", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const { code, stderr } = await singlePort(["status", "--port", String(web.port)], ownRuntime());
  const who = `though process ${process.pid} \\([^\n]+\\) listens there\\.\n$`;
  expect([code, stderr]).toEqual([
    69,
    expect.stringMatching(new RegExp(`no control socket .* port ${web.port}, ${who}`)),
  ]);
});

test("none is running: one line, exit 69", async () => {
  const env = ownRuntime();
  expect(await singlePort(["status"], env)).toEqual({
    code: 69,
    stdout: "",
    stderr: "single-port: no single-port of this user is running: none answers on a control socket.\n",
  });
  expect(await singlePort(["status", "--watch", "--port", "1"], env)).toEqual({
    code: 69,
    stdout: "",
    stderr: "single-port: no single-port of this user runs on port 1: nothing listens there.\n",
  });
});

test("one that a service manager started, without XDG_RUNTIME_DIR, is found from a login shell, and taken over", async () => {
  const service = { XDG_RUNTIME_DIR: "", TMPDIR: tempFolder() };
  const login = { XDG_RUNTIME_DIR: tempFolder(), TMPDIR: service.TMPDIR };
  const daemon = await startDaemon(["--http", "1"], service);
  const port = String(daemon.port);
  await until(() => existsSync(controlSocket({ XDG_RUNTIME_DIR: service.TMPDIR }, daemon.port)), "the control socket");
  for (const args of [[], ["--port", port]]) {
    expect((await singlePort(["status", ...args], login)).stdout).toContain(`127.0.0.1:${port}`);
  }
  const newer = await startDaemon(["--http", "1", "--port", port, "--takeover"], login);
  expect(await within(daemon.exited, "the older one to end", 6000)).toBe(0);
  await until(() => existsSync(controlSocket(login, newer.port)), "the control socket of the newer one");
  expect((await singlePort(["status"], login)).stdout).toContain(`127.0.0.1:${port}`);
});

test("several are running: one line with their ports, exit 64; --port picks one", async () => {
  const env = ownRuntime();
  const ports = [(await serving(env)).port, (await serving(env)).port].sort((a, b) => a - b);
  expect(await singlePort(["status"], env)).toEqual({
    code: 64,
    stdout: "",
    stderr: `single-port: several single-ports are running; choose one with --port: ${ports.join(", ")}.\n`,
  });
  const picked = await singlePort(["status", "--port", String(ports[1])], env);
  expect(picked).toMatchObject({ code: 0, stderr: "" });
  expect(picked.stdout).toMatch(new RegExp(`^single-port \\S+ on 127\\.0\\.0\\.1:${ports[1]} `));
});

test.each(["x", "0", "70000"])("--port %s: one line that says what is accepted, exit 64", async (port) => {
  const { code, stderr } = await singlePort(["status", "--port", port], ownRuntime());
  expect(code).toBe(64);
  expect(stderr).toMatch(/^single-port: .*--port.*'(x|0|70000)'.*Accepted: a whole number from 1 to 65535\.\n$/);
});

test("the table: rates, every upstream with its reason, tunnels, endings; no escapes where nobody reads them", async () => {
  const env = ownRuntime();
  const daemon = await serving(env, 3);
  expect((await ask(daemon.port, "/reset?token=SECRET")).status).toBe(502);
  const text = await until(
    async () => {
      const { stdout } = await singlePort(["status"], env);
      return /│.*[▁▂▃▄▅▆▇█].*│/.test(stdout) && stdout;
    },
    "a chart with a bar",
    8000,
  );
  expect(text).toMatch(/^single-port \S+ on 127\.0\.0\.1:\d+ +running · up \d+s · pid \d+ · node v[\d.]+$/m);
  expect(text).toMatch(/^requests\/s +\d+ +│.*│ +0 in flight, 0 held$/m);
  expect(text).toMatch(/^ended badly\/s +\d+ +│.*│ +1 of 4 since the start$/m);
  expect(text).toMatch(/^tunnel bytes\/s +\S+ B +│.*│ +3 open, 3 since the start$/m);
  expect(text).toMatch(/^http +up +\d+\S* +0 +connects .* ago +0 +127\.0\.0\.1:\d+$/m);
  expect(text).toMatch(
    /^mux2 +connecting +\d+\S* +0 +failed .* ago +0 +127\.0\.0\.1:\d+\n +nothing listens there \(ECONNREFUSED\)$/m,
  );
  expect(text.match(/ \/mux$/gm)).toHaveLength(3);
  expect(text).toMatch(/^ended by upstream +rst 1$/m);
  expect(text).toMatch(
    /^[\d:]{8} 502 http GET \/reset +127\.0\.0\.1  \S+\n {9}127\.0\.0\.1:\d+ reset the connection before it responded, 3 times in a row \(ECONNRESET\)$/m,
  );
  expect(text).toMatch(/^\d+ connections · processor [\d.]+ % of a core · memory [\d.]+ MB · \d+ of \d+ descriptors$/m);
  expect(text).toMatch(/^ {9}p50 [\d.]+m?s, p95 [\d.]+m?s, p99 [\d.]+m?s of 1$/m);
  expect(text).not.toContain("\x1b");
  expect(text).not.toContain("SECRET");
  for (const line of text.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
});

test("--json is what /status says; with --watch a line each second", async () => {
  const env = ownRuntime();
  const daemon = await serving(env);
  const once = await singlePort(["status", "--json"], env);
  expect(JSON.parse(once.stdout)).toMatchObject({ name: "single-port", pid: daemon.pid, state: "running" });
  const child = spawn(NODE, [BIN, "status", "--json", "--watch"], {
    env: cleanEnv(env),
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (more: string) => (text += more));
  await until(() => text.split("\n").length > 3, "three lines", 6000);
  const uptimes = text
    .split("\n")
    .slice(0, 3)
    .map((line) => (JSON.parse(line) as { uptimeSeconds: number }).uptimeSeconds);
  expect(uptimes).toEqual([...uptimes].sort((a, b) => a - b));
  // A reader that has seen enough is no failure.
  const exited = exitOf(child);
  child.stdout.destroy();
  expect(await within(exited, "end after its reader", 4000)).toBe(0);
});

test("--watch without a terminal prints the table each second, and says when the proxy is gone and back", async () => {
  const env = ownRuntime();
  const daemon = await serving(env);
  const child = spawn(NODE, [BIN, "status", "--watch"], { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (more: string) => (text += more));
  child.stderr.setEncoding("utf8").on("data", (more: string) => (text += more));
  await until(() => text.match(/^single-port \S+ on /gm)?.length === 2, "two tables", 6000);
  expect(await daemon.stop()).toBe(0);
  await until(() => text.endsWith("single-port: not running; waiting for it.\n"), "that it is gone", 4000);
  const next = await serving(env, 0, daemon.port);
  await until(() => text.includes(`pid ${next.pid}`), "the next one", 6000);
  expect(text).not.toContain("\x1b");
});

const hasTmux = spawnSync("tmux", ["-V"]).status === 0;

/** A shell in a terminal of tmux, of this test's own. */
function terminal(
  env: Env,
  columns: number,
  rows: number,
): {
  tmux: (...args: string[]) => SpawnSyncReturns<string>;
  screen: () => string;
  flags: () => string;
} {
  const home = { TMUX_TMPDIR: tempFolder(), PS1: "prompt$ ", LANG: "C.UTF-8", TERM: "xterm-256color" };
  const tmux = (...args: string[]): SpawnSyncReturns<string> =>
    spawnSync("tmux", ["-f", "/dev/null", ...args], { env: cleanEnv({ ...env, ...home }), encoding: "utf8" });
  const size = ["-x", String(columns), "-y", String(rows)];
  expect(tmux("-u", "new-session", "-d", ...size, "bash --norc --noprofile").stderr).toBe("");
  onTestFinished(() => void tmux("kill-server"));
  return {
    tmux,
    screen: () => tmux("capture-pane", "-p").stdout,
    flags: () => tmux("display", "-p", "#{cursor_flag} #{alternate_on} #{wrap_flag}").stdout.trim(),
  };
}

const GIVEN_BACK = "1 0 1";

test.skipIf(!hasTmux)(
  "--watch in a terminal of 80 x 24 (needs tmux): readable, redrawn in place, given back on Ctrl-C",
  async () => {
    const env = ownRuntime();
    const daemon = await serving(env, 12);
    const { tmux, screen, flags } = terminal(env, 80, 24);
    tmux(
      "send-keys",
      `echo before; '${NODE}' '${BIN}' status --watch; echo after $?; stty -a | grep -ow -- '-\\?echo'`,
      "Enter",
    );
    await until(() => screen().includes("q or Ctrl-C to leave"), "the table", 8000);
    expect(flags()).toBe("0 1 0");
    const first = screen();
    expect(first).toMatch(/^single-port \S+ on 127\.0\.0\.1:\d+ +running · up .*$/m);
    for (const what of ["requests/s", "UPSTREAM", "http     up", "mux2     connecting", "TUNNEL", "ended by client"]) {
      expect(first).toContain(what);
    }
    expect(first).toMatch(/^and \d+ older ones$/m);
    expect(first.match(/ \/mux$/gm)?.length).toBeGreaterThanOrEqual(2);
    // It moves, and what is typed is not printed into it.
    tmux("send-keys", "xyz");
    await until(() => screen() !== first, "the next table", 4000);
    expect(
      screen()
        .split("\n")
        .filter((line) => line.startsWith("single-port ")),
    ).toHaveLength(1);
    expect(screen()).not.toContain("xyz");

    tmux("resize-window", "-x", "120", "-y", "40");
    await until(
      () => !screen().includes("older ones") && screen().match(/ \/mux$/gm)?.length === 12,
      "all tunnels",
      5000,
    );

    expect(await daemon.stop()).toBe(0);
    await until(() => screen().includes("waiting for it. These are its last figures."), "that it is gone", 5000);
    const next = await serving(env, 0, daemon.port);
    await until(() => screen().includes(`pid ${next.pid}`), "the next one", 8000);

    tmux("send-keys", "C-c");
    await until(() => /^before\nafter 0\necho\n/m.test(screen()), "the shell's screen again", 5000);
    expect(flags()).toBe(GIVEN_BACK);
  },
);

test.skipIf(!hasTmux).each<[string, string, number]>([
  ["q", "q", 0],
  ["SIGTERM", "", 143],
])("--watch gives the terminal back on %s (needs tmux)", async (_name, key, code) => {
  const env = ownRuntime();
  await serving(env);
  const { tmux, screen, flags } = terminal(env, 80, 24);
  tmux("send-keys", `'${NODE}' '${BIN}' status --watch; echo after $?`, "Enter");
  await until(() => screen().includes("q or Ctrl-C to leave"), "the table", 8000);
  if (key !== "") tmux("send-keys", key);
  else {
    const shell = Number(tmux("display", "-p", "#{pane_pid}").stdout);
    const pid = Number(spawnSync("ps", ["--ppid", String(shell), "-o", "pid="], { encoding: "utf8" }).stdout);
    process.kill(pid, "SIGTERM");
  }
  await until(() => screen().includes(`after ${code}`), "the shell", 5000);
  expect(flags()).toBe(GIVEN_BACK);
});
