// Errors that nothing caught: a bug drains and ends the process loudly, a socket error without an owner does not end
// it.

import { expect, test, vi } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { injected } from "../kit/launch.ts";
import { ask, nextResponse } from "../kit/messages.ts";
import { ask as askAdmin, controlSocket, ownRuntime } from "../kit/ops.ts";
import { openWs } from "../kit/tunnel.ts";
import { httpUpstream, muxUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const GET = head("GET / HTTP/1.1", "Host: a");
const FATAL = 60;

test.each([
  ["an exception in a handler", "throws"],
  ["a promise that nobody awaits", "rejects"],
])("%s: fatal with its stack, drained, exit 70", async (_what, bug) => {
  let answer: (() => void) | undefined;
  const web = await httpUpstream((_req, res) => void (answer = () => res.end("whole")));
  const mux = await muxUpstream();
  const env = { ...ownRuntime(), ...injected("bugs.mjs"), BUG: bug };
  const daemon = await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`], env);
  const tunnel = await openWs(daemon);
  const closed = new Promise((resolve) => tunnel.once("close", resolve));
  const client = await dial(daemon.port);
  client.send(GET);
  await until(() => answer, "the request at the upstream");

  daemon.child.kill("SIGCONT");
  expect(await within(closed, "the tunnel to be closed")).toBe(1001);
  answer?.();
  const response = await nextResponse(client);
  expect([response.body, response.field("connection")]).toEqual(["whole", "close"]);
  expect(await within(daemon.exited, "exit")).toBe(70);
  const fatal = daemon.log.filter(({ level }) => level === FATAL);
  expect(fatal).toHaveLength(1);
  const stack = expect.stringContaining("bugs.mjs") as string;
  expect(fatal[0]).toMatchObject({ err: { type: "TypeError", message: "a bug of the test's", stack } });
  expect(daemon.log.find(({ msg }) => msg === "stopping")?.["reason"]).toBe("uncaught exception");
});

test("a thousand socket errors without an owner: a few lines, all counted, nobody notices", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const mux = await muxUpstream();
  const env = { ...ownRuntime(), ...injected("bugs.mjs"), BUG: "sockets" };
  const daemon = await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`], env);
  const tunnel = await openWs(daemon);
  const control = controlSocket(env, daemon.port);
  const count = async (): Promise<number> =>
    Number(/^single_port_uncaught_total (\d+)$/m.exec((await askAdmin(control, "/metrics")).body)?.[1]);
  await until(async () => (await count().catch(() => -1)) === 0, "the counter");

  daemon.child.kill("SIGCONT");
  await until(async () => (await count()) === 1000, "a thousand of them to be counted");
  expect((await ask(daemon.port, GET)).body).toBe("ok");
  expect(tunnel.readyState).toBe(tunnel.OPEN);
  const dropped = await daemon.logged(({ kind }) => kind === "uncaught", "how many were left out");
  const lines = daemon.log.filter(({ msg }) => msg === "uncaught socket error");
  expect(lines.length).toBeLessThanOrEqual(20);
  const stack = expect.stringContaining("read ECONNRESET") as string;
  expect(lines[0]).toMatchObject({ level: 50, err: { stack } });
  expect(Number(dropped["dropped"])).toBeGreaterThan(900);
  expect(await daemon.stop()).toBe(0);
});
