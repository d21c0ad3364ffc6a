import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { childServer, tempFolder, type ChildServer } from "../kit/child.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { client } from "../kit/load.ts";
import { until } from "../kit/until.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 30_000 });

/** A file for the pid of what a command starts; that process ends with the test. */
function pidFile(): string {
  const file = join(tempFolder(), "pid");
  onTestFinished(() => {
    // Each command has a group of its own, named after its shell.
    for (const sign of [-1, 1]) {
      try {
        const pid = Number(readFileSync(file, "utf8"));
        // 0 would be ourselves.
        if (pid > 1) process.kill(sign * pid, "SIGKILL");
      } catch {
        // It was never started, has ended, or is not the first of its group.
      }
    }
  });
  return file;
}

async function startWith(web: ChildServer, command: string): Promise<TestDaemon> {
  const args = ["--http", String(web.port), "--probe-interval", "200ms", "--on-down", command];
  const daemon = await startDaemon(args);
  await daemon.logged((line) => line.msg === "upstream http is up", "up", 8000);
  return daemon;
}

const ran = (daemon: TestDaemon) =>
  daemon.logged((line) => line.msg === "running the --on-down command", "the command to run", 8000);
const ended = (daemon: TestDaemon) =>
  daemon.logged((line) => line.msg === "the --on-down command ended", "the command to end", 8000);

test("the command brings a server back, and the request that was held is served by it", async () => {
  const web = await childServer();
  const pid = pidFile();
  const daemon = await startWith(web, `${web.command} >&2 & echo $! > ${pid}; echo "starting $SINGLE_PORT_UPSTREAM"`);
  const ask = client(daemon.port);
  await web.kill();
  const answer = await ask({ method: "POST", headers: { "X-Id": "held" }, body: "x" });
  expect(answer.status).toBe(200);
  expect(web.acted()).toEqual(["held"]);
  expect(Number(readFileSync(pid, "utf8"))).not.toBe(web.process.pid);
  expect(await ended(daemon)).toMatchObject({ level: 30, code: 0, upstream: "http" });
  expect((await ended(daemon))["output"]).toContain("starting http");
  expect(daemon.log.filter((line) => line.msg === "running the --on-down command")).toHaveLength(1);
});

test("no command is run for an upstream that was never seen: it is starting", async () => {
  const web = await childServer();
  await web.kill();
  const daemon = await startDaemon(["--http", String(web.port), "--probe-interval", "200ms", "--on-down", "true"]);
  const answer = client(daemon.port)();
  await until(() => daemon.sockets() > 0, "the request to wait");
  await web.start();
  expect((await answer).status).toBe(200);
  expect(daemon.log.filter((line) => line.msg.includes("on-down"))).toEqual([]);
});

test.each([
  ["fails", (pid: string) => `echo $$ > ${pid}; echo no such service >&2; exit 7`],
  ["does not exist", () => "/nonexistent/command"],
  ["hangs", (pid: string) => `echo $$ > ${pid}; exec sleep 600`],
  [
    "ignores SIGTERM and closes its output",
    (pid: string) => `echo $$ > ${pid}; trap '' TERM; exec 1>&- 2>&-; sleep 600`,
  ],
  ["floods its output", (pid: string) => `echo $$ > ${pid}; exec yes 'and on and on and on'`],
])("a command that %s harms nothing", async (what, command) => {
  const web = await childServer();
  const daemon = await startWith(web, command(pidFile()));
  const ask = client(daemon.port);
  await web.kill();
  const held = ask();
  await ran(daemon);
  await web.start();
  expect((await held).status).toBe(200);
  const answers = [];
  for (let i = 0; i < 200; i++) answers.push(await ask());
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  if (what === "fails") expect(await ended(daemon)).toMatchObject({ level: 40, code: 7, output: "no such service" });
  if (what === "does not exist") expect(await ended(daemon)).toMatchObject({ level: 40, code: 127 });
  expect(await daemon.stop()).toBe(0);
  expect(daemon.stderr()).toBe("");
});
