// What each signal does: drain, exit at once, or nothing.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { BIN, cleanEnv, NODE, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { launch } from "../kit/launch.ts";
import { nextResponse } from "../kit/messages.ts";
import { accepts, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { deadPort, rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const GET = head("GET / HTTP/1.1", "Host: a");
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** A daemon with a request in flight, at its upstream. */
async function busy(): Promise<{ daemon: TestDaemon; client: RawClient; peer: RawClient }> {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--drain", "1m"], ownRuntime());
  const client = await dial(daemon.port);
  client.send(GET);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  return { daemon, client, peer };
}

test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const)(
  "%s drains, several within a second are one wish, and exits with 0",
  async (signal) => {
    const { daemon, client, peer } = await busy();
    daemon.child.kill(signal);
    await daemon.logged(({ msg }) => msg === "draining", "draining");
    daemon.child.kill(signal);
    daemon.child.kill("SIGTERM");
    await until(() => signalsCaught(daemon.pid), "the signals to be delivered");
    peer.send(OK);
    expect((await nextResponse(client)).body).toBe("ok");
    expect(await within(daemon.exited, "exit")).toBe(0);
    expect(daemon.log.find(({ msg }) => msg === "stopping")?.["reason"]).toBe(signal);
  },
);

test.each([
  ["SIGTERM", 143],
  ["SIGINT", 130],
  ["SIGHUP", 129],
] as const)("a second %s a second later ends it at once with %i", async (signal, code) => {
  const { daemon } = await busy();
  daemon.child.kill(signal);
  await daemon.logged(({ msg }) => msg === "draining", "draining");
  const first = performance.now();
  await until(() => performance.now() - first > 1000, "a second to pass");
  daemon.child.kill(signal);
  expect(await within(daemon.exited, "exit")).toBe(code);
});

test("SIGUSR1 opens no debugger, and changes nothing", async () => {
  const { daemon, client, peer } = await busy();
  daemon.child.kill("SIGUSR1");
  await until(() => signalsCaught(daemon.pid), "the signal to be delivered");
  peer.send(OK);
  expect((await nextResponse(client)).body).toBe("ok");
  expect(await daemon.stop()).toBe(0);
  expect(daemon.stderr()).toBe("");
});

const noScript = spawnSync("script", ["--version"]).status !== 0;

test.skipIf(noScript)("under nohup, whose terminal is closed, it goes on", async () => {
  const env = ownRuntime();
  const port = await deadPort();
  // With job control, as in a shell that people type in: without it the shell would take stdin away itself.
  const command = `set -m; nohup '${NODE}' '${BIN}' --http 1 --port ${port} >/dev/null & cat`;
  // `script` gives it a terminal, as nohup wants one to be taken away from.
  const terminal = launch("script", ["-qec", command, "/dev/null"], {
    stdio: ["pipe", "pipe", "pipe"],
    env: cleanEnv(env),
  });
  const path = controlSocket(env, port);
  await until(() => terminal.child.exitCode !== null || existsSync(path), "it to listen", 10_000);
  const { pid } = await statusOf(path);
  process.kill(pid, "SIGHUP");
  await until(() => signalsCaught(pid), "the signal to be delivered");
  // The first answer may have been on its way.
  for (let i = 0; i < 2; i += 1) expect((await statusOf(path)).state).toBe("running");
  process.kill(pid, "SIGTERM");
  await until(async () => !(await accepts(port)), "the end");
});

/** Is no signal pending? */
function signalsCaught(pid: number): boolean {
  return /^ShdPnd:\s*0+$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
