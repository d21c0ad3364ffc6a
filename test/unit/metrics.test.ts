import { createRequire } from "node:module";
import { Histogram, Registry } from "prom-client";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Attempt, Outcome } from "../../src/core/outcome.ts";
import { History } from "../../src/ops/history.ts";
import { SECONDS } from "../../src/ops/latencies.ts";
import { Metrics } from "../../src/ops/metrics.ts";
import type { Report } from "../../src/ops/report.ts";
import { parseMetrics, sumOf } from "../kit/metrics.ts";

const report: Report = {
  name: "single-port",
  version: "0",
  node: "v0",
  pid: 1,
  state: "running",
  at: "",
  startedAt: "",
  uptimeSeconds: 1,
  listening: "",
  shared: false,
  network: undefined,
  connections: 3,
  requests: 0,
  held: 2,
  totals: { requests: 0, tunnels: 0, failed: 0, retries: 0, uncaught: 0, endings: {} },
  links: [
    { name: "http", target: "a", state: "up", reconnectCount: 0, reconnectTries: 0, held: 2, tunnels: 0, history: [] },
    {
      name: "mux",
      target: "b",
      state: "reconnecting",
      reconnectCount: 2,
      reconnectTries: 7,
      held: 0,
      tunnels: 1,
      history: [],
    },
  ],
  tunnels: [
    {
      id: "t",
      route: "mux",
      path: "/mux",
      from: "",
      ageMs: 1,
      client: { bytes: 100, lastByteAgeMs: 0 },
      upstream: { bytes: 1000, lastByteAgeMs: 0 },
    },
  ],
  process: { residentBytes: 1, heapUsedBytes: 1 },
  logCommand: "grep ID",
  routes: [],
  inFlight: [],
  endedBadly: [],
};

function outcome(about: Partial<Outcome> = {}): Outcome {
  return {
    id: "a-1",
    kind: "request",
    route: "http",
    method: "GET",
    path: "/",
    status: 200,
    error: undefined,
    bytesIn: 0,
    bytesOut: 5,
    ms: 12,
    attempts: [],
    by: "upstream",
    how: "done",
    phase: "response_body",
    ray: undefined,
    ...about,
  };
}

/** A connection that broke with this code, or did not. */
function sent(code?: string): Attempt {
  const facts = { reused: false, idleMs: 0, phase: "waiting" as const, times: 1 };
  return code === undefined ? facts : { ...facts, code };
}

/** Dials that failed in a row, while the request was held. */
function dials(times: number): Attempt {
  return { reused: false, idleMs: 0, code: "ECONNREFUSED", phase: "connect", times };
}

async function read(metrics: Metrics): Promise<Map<string, number>> {
  return parseMetrics((await metrics.text()).body);
}

test("what happened before prom-client was loaded is counted, too", async () => {
  const metrics = new Metrics(() => report);
  metrics.ended(outcome());
  metrics.opened("mux");
  metrics.load();
  metrics.ended(outcome());
  const series = await read(metrics);
  expect(series.get('single_port_requests_total{route="http",status="200"}')).toBe(2);
  expect(series.get('single_port_requests_total{route="mux",status="101"}')).toBe(1);
  expect(metrics.totals).toMatchObject({ requests: 3, tunnels: 1, failed: 0 });
});

test("a tunnel is one request when it opens, and one ending when it ends", async () => {
  const metrics = new Metrics(() => report);
  metrics.opened("mux");
  metrics.ended(outcome({ kind: "tunnel", route: "mux", status: 101, by: "client", how: "no_pong", phase: "tunnel" }));
  const series = await read(metrics);
  expect(sumOf(series, "single_port_requests_total")).toBe(1);
  expect(series.get('single_port_tunnels_total{route="mux",end="client_no_pong"}')).toBe(1);
  expect(series.get('single_port_endings_total{side="client",how="no_pong",phase="tunnel"}')).toBe(1);
  expect(metrics.totals).toMatchObject({ requests: 1, failed: 1, endings: { "client no_pong": 1 } });
});

test("no answer of an upstream makes more series than there are known codes", async () => {
  const metrics = new Metrics(() => report);
  for (let status = 100; status < 1000; status += 1) metrics.ended(outcome({ status }));
  metrics.ended(outcome({ status: 0, by: "client", how: "rst" }));
  const series = await read(metrics);
  const names = [...series.keys()].filter((name) => name.startsWith("single_port_requests_total"));
  expect(names.length).toBeLessThan(70);
  expect(names).toContain('single_port_requests_total{route="http",status="other"}');
  expect(names).toContain('single_port_requests_total{route="http",status="none"}');
  expect(sumOf(series, "single_port_requests_total")).toBe(901);
});

test.each<[string, Attempt[], Record<string, number>]>([
  ["one attempt is no retry", [sent()], {}],
  ["nor are the dials of a held request that was served", [dials(40), sent()], {}],
  ["nor those of one that was not", [dials(41)], {}],
  ["a reset, then held until it was served", [sent("ECONNRESET"), dials(40), sent()], { ECONNRESET: 1 }],
  ["a reset, then held until it gave up", [sent("ECONNRESET"), dials(40)], { ECONNRESET: 1 }],
  ["resets", [sent("ECONNRESET"), sent("ECONNRESET"), sent("ECONNRESET")], { ECONNRESET: 2 }],
  ["what nobody has foreseen", [sent("EWHATEVER"), sent()], { other: 1 }],
])("retries by reason: %s", async (_name, attempts, expected) => {
  const metrics = new Metrics(() => report);
  metrics.ended(outcome({ attempts }));
  const series = await read(metrics);
  const reasons = [...series].flatMap(([name, value]) => {
    const reason = /^single_port_retries_total\{reason="(.*)"\}$/.exec(name)?.[1];
    return reason === undefined ? [] : [[reason, value]];
  });
  expect(Object.fromEntries(reasons)).toEqual(expected);
  expect(metrics.totals.retries).toBe(Object.values(expected).reduce((sum, value) => sum + value, 0));
});

test("gauges and bytes are those of the report, ended tunnels included", async () => {
  const metrics = new Metrics(() => report);
  metrics.ended(outcome({ kind: "tunnel", route: "mux", bytesIn: 7, bytesOut: 70, how: "fin" }));
  metrics.ponged("client", 12);
  const series = await read(metrics);
  expect(series.get('single_port_tunnel_bytes_total{route="mux",direction="in"}')).toBe(107);
  expect(series.get('single_port_tunnel_bytes_total{route="mux",direction="out"}')).toBe(1070);
  expect(series.get('single_port_tunnels_open{route="mux"}')).toBe(1);
  expect(series.get('single_port_upstream_up{upstream="http"}')).toBe(1);
  expect(series.get('single_port_upstream_up{upstream="mux"}')).toBe(0);
  expect(series.get('single_port_upstream_reconnects_total{upstream="mux"}')).toBe(2);
  expect(series.get('single_port_upstream_reconnect_tries_total{upstream="mux"}')).toBe(7);
  expect(series.get("single_port_held_requests")).toBe(2);
  expect(series.get("single_port_connections_open")).toBe(3);
  expect(series.get("single_port_uncaught_total")).toBe(0);
  expect(series.get('single_port_ping_rtt_seconds_sum{side="client"}')).toBe(0.012);
});

test("a histogram reads as one of prom-client with the same values", async () => {
  const metrics = new Metrics(() => report);
  const registry = new Registry();
  const name = "single_port_request_duration_seconds";
  const own = new Histogram({ name, help: "h", labelNames: ["route"], buckets: [...SECONDS], registers: [registry] });
  for (const [route, ms] of [
    ["http", 0],
    ["http", 1],
    ["http", 7],
    ["mux", 119_999],
    ["http", 121_000],
  ] as const) {
    metrics.ended(outcome({ route, ms }));
    own.observe({ route }, ms / 1000);
  }
  const expected = parseMetrics(await registry.metrics());
  const series = [...(await read(metrics))].filter(([key]) => key.startsWith(name));
  expect(series).toEqual([...expected]);
  expect(series).toHaveLength(2 * (SECONDS.length + 3));
});

test("what measures the process is started once, however many proxies it runs, and each of them tells of it", async () => {
  const perfHooks = createRequire(import.meta.url)("node:perf_hooks") as typeof import("node:perf_hooks");
  const histograms = vi.spyOn(perfHooks, "monitorEventLoopDelay");
  onTestFinished(() => histograms.mockRestore());
  for (let i = 0; i < 3; i += 1) {
    const series = await read(new Metrics(() => report));
    expect(series.get("process_resident_memory_bytes")).toBeGreaterThan(0);
    expect(series.has("nodejs_eventloop_lag_p99_seconds")).toBe(true);
  }
  // Another test of this file may have been the first.
  expect(histograms.mock.calls.length).toBeLessThanOrEqual(1);
});

test("a scrape asks for one report, however many gauges there are", async () => {
  let asked = 0;
  const metrics = new Metrics(() => {
    asked += 1;
    return report;
  });
  await metrics.text();
  expect(asked).toBe(1);
});

test("the history keeps the latest 200 that ended badly, latest first, with short paths", () => {
  const history = new History(() => ({ requests: 0, failed: 0, tunnelBytes: 0, tunnels: 0, cpuMs: 0 }));
  for (let i = 0; i < 210; i += 1) {
    history.ended(outcome({ id: `b-${i}`, status: 502, path: `/${"x".repeat(5000)}` }), "127.0.0.1:1 broke off");
  }
  expect(history.endedBadly).toHaveLength(200);
  expect(history.endedBadly[0]?.id).toBe("b-209");
  expect(history.endedBadly[0]?.path.length).toBeLessThan(300);
});
