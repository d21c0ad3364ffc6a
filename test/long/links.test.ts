import { fork } from "node:child_process";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { childServer } from "../kit/child.ts";
import { dial, head, upgrade } from "../kit/client.ts";
import { BIN, cleanEnv, NODE, startDaemon, type LogLine, type TestDaemon } from "../kit/daemon.ts";
import { openStream } from "../kit/events.ts";
import type { LinkReport } from "../../src/ops/report.ts";
import { client } from "../kit/load.ts";
import { adminSocket } from "../kit/report.ts";
import { until, within } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 30_000 });

const isState =
  (name: string, state: string, after = 0) =>
  (line: LogLine, index: number): boolean =>
    index >= after && line.msg.startsWith(`upstream ${name} is ${state}`);

/** The change of a link, waited for; `after` skips that many lines of the log. */
async function becomes(daemon: TestDaemon, name: string, state: string, after = 0, ms = 8000): Promise<LogLine> {
  return await until(() => daemon.log.find(isState(name, state, after)), `${name} to be ${state}`, ms);
}

/** How the exchange with this path ended. */
async function outcome(daemon: TestDaemon, path: string): Promise<LogLine> {
  return await daemon.logged((line) => line["path"] === path && line["how"] !== undefined, `the end of ${path}`);
}

const switching = (): string => head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket");

async function openTunnel(port: number): Promise<{ socket: WebSocket; closed: Promise<number> }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mux`);
  onTestFinished(() => socket.terminate());
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  await within(new Promise((resolve) => socket.once("open", resolve)), "open");
  return { socket, closed };
}

test("electric 4343, kill -9: the stream ends at once, and the link tells the story", async () => {
  const web = await childServer();
  const daemon = await startDaemon(["--http", String(web.port), "--probe-interval", "200ms"]);
  await becomes(daemon, "http", "up");
  const stream = await openStream(daemon.port);
  await web.kill("SIGKILL");
  expect(await within(stream.ended, "the stream to be cut")).toBe("cut");
  expect(await outcome(daemon, "/events")).toMatchObject({ by: "upstream", status: 200 });
  await becomes(daemon, "http", "suspect");
  await becomes(daemon, "http", "reconnecting");
  const before = daemon.log.length;
  await web.start();
  expect((await becomes(daemon, "http", "up", before))["reconnectCount"]).toBe(1);
});

test("electric 4343, Ctrl-C: a server that waits for its streams is found to be gone, and they are cut", async () => {
  const web = await childServer();
  const daemon = await startDaemon(["--http", String(web.port), "--probe-interval", "200ms"]);
  await becomes(daemon, "http", "up");
  const stream = await openStream(daemon.port);
  web.signal("SIGINT");
  expect(await within(stream.ended, "the stream to be cut", 8000)).toBe("cut");
  await becomes(daemon, "http", "reconnecting");
  expect(await outcome(daemon, "/events")).toMatchObject({ by: "upstream", how: "timeout" });
  // It waited for that stream only.
  await until(() => web.process.exitCode === 0, "the server to end", 5000);
});

test("a stream that still ticks while its server takes no connection any more is left alone", async () => {
  const web = await childServer();
  const daemon = await startDaemon(["--http", String(web.port), "--probe-interval", "200ms"]);
  await becomes(daemon, "http", "up");
  const silent = await openStream(daemon.port);
  const ticking = await openStream(daemon.port, "/events/ticking");
  web.signal("SIGINT");
  expect(await within(silent.ended, "the silent stream to be cut", 8000)).toBe("cut");
  const seen = ticking.text().length;
  await until(() => ticking.text().length > seen + 100, "more ticks");
});

test("a frozen upstream is noticed by --http-probe within two probes; back again it is up", async () => {
  const web = await childServer();
  const admin = adminSocket();
  const http = async (): Promise<LinkReport | undefined> => (await admin.report())?.links[0];
  const args = ["--http", String(web.port), "--probe-interval", "500ms", "--http-probe", "/", ...admin.args];
  const daemon = await startDaemon(args);
  await becomes(daemon, "http", "up");
  const firstSince = (await until(http, "a report")).connectedSince ?? "";
  const stream = await openStream(daemon.port);
  const frozen = performance.now();
  web.signal("SIGSTOP");
  onTestFinished(() => web.signal("SIGCONT"));
  expect(await within(stream.ended, "the stream to be cut", 9000)).toBe("cut");
  // The rest of an interval, a probe of 3 s, half a second, and a second probe of 3 s.
  expect(performance.now() - frozen).toBeLessThan(8500);
  expect(await becomes(daemon, "http", "suspect")).toMatchObject({ reason: "no answer within 3000 ms" });
  await becomes(daemon, "http", "reconnecting");
  expect(await http()).toMatchObject({ state: "reconnecting", lastProbeOk: false });
  expect((await http())?.connectedSince).toBeUndefined();
  expect(await outcome(daemon, "/events")).toMatchObject({ by: "upstream", how: "timeout", status: 200 });
  const before = daemon.log.length;
  web.signal("SIGCONT");
  expect((await becomes(daemon, "http", "up", before))["reconnectCount"]).toBe(1);
  const after = await http();
  expect(after).toMatchObject({ state: "up", lastProbeOk: true });
  expect(after?.reconnectCount).toBe(1);
  expect(Date.parse(after?.connectedSince ?? "")).toBeGreaterThan(Date.parse(firstSince) + 3000);
  expect((await client(daemon.port)()).status).toBe(200);
});

test("a tunnel that answers a ping lives on when its mux takes no connection any more, and the link is not up", async () => {
  const mux = await childServer();
  const args = ["--http", String(mux.port), "--mux", `${mux.port}/mux`, "--probe-interval", "200ms"];
  const daemon = await startDaemon(args);
  await becomes(daemon, "mux", "up");
  const living = await openTunnel(daemon.port);
  // No listener any more, but the process still answers pings.
  mux.signal("SIGINT");
  await becomes(daemon, "mux", "reconnecting");
  const echoed = new Promise((resolve) => living.socket.once("message", resolve));
  living.socket.send("still there?");
  await within(echoed, "the echo of a tunnel that lives on");
  expect(daemon.log.filter(isState("mux", "up"))).toHaveLength(1);
});

test("a silent tunnel to a lost mux is closed with 1012", async () => {
  // Answers the upgrade, and nothing after it: no pong either.
  const mux = await rawUpstream((peer) => peer.socket.once("data", () => peer.send(switching())));
  const web = await childServer();
  const args = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--probe-interval", "200ms"];
  const daemon = await startDaemon(args);
  await becomes(daemon, "mux", "up");
  const tunnel = await dial(daemon.port);
  tunnel.send(upgrade("/mux"));
  await tunnel.readUntil("101 Switching Protocols");
  mux.server.close();
  await becomes(daemon, "mux", "reconnecting");
  // FIN, opcode 8, two bytes: 1012.
  await tunnel.readUntil("\x88\x02\x03\xf4");
  expect(await tunnel.ended).toBe("fin");
  expect(await outcome(daemon, "/mux")).toMatchObject({ kind: "tunnel", by: "upstream", how: "timeout" });
});

test("an IPC parent is told when a link is lost and when it is back", async () => {
  const web = await childServer();
  const messages: unknown[] = [];
  const args = ["--port", "0", "--http", String(web.port), "--probe-interval", "200ms", "--log-format", "json"];
  const daemon = fork(BIN, args, { execPath: NODE, env: cleanEnv(), silent: true, execArgv: [] });
  onTestFinished(() => void daemon.kill("SIGKILL"));
  daemon.on("message", (message) => messages.push(message));
  const told = (state: string): Promise<unknown> =>
    until(
      () => messages.find((message) => (message as { state?: string }).state === state),
      `the message that it is ${state}`,
      8000,
    );
  expect(await told("up")).toEqual({ type: "upstream", name: "http", state: "up" });
  await web.kill();
  expect(await told("reconnecting")).toEqual({ type: "upstream", name: "http", state: "reconnecting" });
  messages.length = 0;
  await web.start();
  expect(await told("up")).toEqual({ type: "upstream", name: "http", state: "up" });
});
