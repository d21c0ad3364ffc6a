// Metrics after real traffic: valid, bounded, and they add up.

import { spawnSync } from "node:child_process";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { parseMetrics, sumOf } from "../kit/metrics.ts";
import { ask, controlSocket, ownRuntime } from "../kit/ops.ts";
import { until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, muxUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 60_000 });

const promtool = spawnSync("promtool", ["--version"]).status === 0;

/** Traffic of every kind, with faults; says how many requests were sent and tunnels opened, and which are open yet. */
async function traffic(port: number): Promise<{ requests: number; tunnels: number; open: RawClient[] }> {
  let requests = 0;
  const send = async (bytes: string, wanted: RegExp): Promise<RawClient> => {
    const client = await dial(port);
    requests += 1;
    client.send(bytes);
    await client.readUntil(wanted, 5000);
    return client;
  };
  for (let i = 0; i < 20; i += 1) await send(head(`GET /${i} HTTP/1.1`, "Host: a"), /ok/);
  for (const status of [201, 404, 500, 799])
    await send(head(`GET /status/${status} HTTP/1.1`, "Host: a"), new RegExp(` ${status} `));
  for (let i = 0; i < 3; i += 1) await send(head("GET /reset HTTP/1.1", "Host: a"), /upstream_reset/);
  for (let i = 0; i < 3; i += 1)
    await send(head("GET /half HTTP/1.1", "Host: a"), /half/).then((client) => client.ended);
  for (let i = 0; i < 3; i += 1)
    await send(head("GET /endless HTTP/1.1", "Host: a"), /endless/).then((client) => client.reset());
  await send(head("GET / HTTP/1.1", "Host: a", "Host: b"), /bad_request/);
  await send("NONSENSE\r\n\r\n", /bad_request/);
  await send(upgrade("/mux", "Origin: http://elsewhere"), /origin_not_allowed/);
  await send(upgrade("/down"), /upstream_unavailable/);
  const open: RawClient[] = [];
  for (let i = 0; i < 10; i += 1) open.push(await send(upgrade("/mux"), /101 Switching/));
  open[0]?.reset();
  open[1]?.halfClose();
  open[2]?.socket.destroy();
  return { requests, tunnels: 10, open: open.slice(3) };
}

test("every request and every tunnel is counted once, wherever it ended", async () => {
  const web = await httpUpstream((req, res) => {
    const status = /^\/status\/(\d+)$/.exec(req.url ?? "")?.[1];
    if (req.url === "/reset") req.socket.resetAndDestroy();
    else if (req.url === "/half") {
      res.writeHead(200, { "Content-Length": 100 });
      res.write("half", () => req.socket.destroy());
    } else if (req.url === "/endless") res.write("endless");
    else res.writeHead(Number(status ?? 200)).end("ok");
  });
  const mux = await muxUpstream();
  const env = ownRuntime();
  const targets = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--mux", `/down=${await deadPort()}/x`];
  const daemon = await startDaemon([...targets, "--hold", "300ms", "--ping-interval", "200ms"], env);
  const control = controlSocket(env, daemon.port);
  const sent = await traffic(daemon.port);

  const scrape = async (): Promise<Map<string, number>> => parseMetrics((await ask(control, "/metrics")).body);
  const ended = await until(
    async () => {
      const series = await scrape();
      return sumOf(series, "single_port_tunnels_total") === 3 && series;
    },
    "three tunnels to end",
    5000,
  );
  await until(
    async () => sumOf(await scrape(), "single_port_requests_total") === sent.requests,
    "all requests counted",
  );
  expect(sumOf(ended, "single_port_tunnels_open")).toBe(sent.open.length);
  expect(ended.get('single_port_requests_total{route="mux",status="101"}')).toBe(sent.tunnels);
  expect(ended.get('single_port_requests_total{route="http",status="other"}')).toBe(1);
  expect(ended.get("single_port_uncaught_total")).toBe(0);
  // Two for each of the three resets; the dials of the upgrade that was held are none.
  expect(sumOf(ended, "single_port_retries_total")).toBe(6);

  // Never both closed and open, and bytes never go back, however often one looks while they end.
  let bytes = 0;
  for (const tunnel of sent.open) tunnel.reset();
  await until(async () => {
    const series = await scrape();
    const closed = sumOf(series, "single_port_tunnels_total");
    expect(closed + sumOf(series, "single_port_tunnels_open")).toBe(sent.tunnels);
    const now = sumOf(series, "single_port_tunnel_bytes_total");
    expect(now).toBeGreaterThanOrEqual(bytes);
    bytes = now;
    return closed === sent.tunnels;
  }, "all tunnels to end");
  const last = await scrape();
  // Each exchange ended once: those that were answered, and each tunnel in place of its 101.
  expect(sumOf(last, "single_port_endings_total")).toBe(sent.requests);
});

test.skipIf(!promtool)("promtool finds nothing to say (needs Debian's prometheus)", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const mux = await muxUpstream();
  const env = ownRuntime();
  const daemon = await startDaemon(
    ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--ping-interval", "50ms"],
    env,
  );
  for (let i = 0; i < 5; i += 1) await ask(daemon.port, "/");
  const refused = await dial(daemon.port);
  refused.send("NONSENSE\r\n\r\n");
  await refused.ended;
  const tunnel = new WebSocket(`ws://127.0.0.1:${daemon.port}/mux`);
  onTestFinished(() => tunnel.terminate());
  const control = controlSocket(env, daemon.port);
  const body = await until(
    async () => {
      const text = (await ask(control, "/metrics")).body;
      return sumOf(parseMetrics(text), "single_port_ping_rtt_seconds_count") > 0 && text;
    },
    "a pong",
    5000,
  );
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: body, encoding: "utf8" });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(await within(daemon.stop(), "stop", 8000)).toBe(0);
});
