// The table of `single-port status`: figures that are easily wrong.

import { expect, test } from "vitest";
import type { LinkReport, Report, TunnelReport } from "../../src/ops/report.ts";
import { statusLines } from "../../src/ops/status-text.ts";

/** By the proxy's clock; ours may say anything. */
const NOW = Date.parse("2026-01-01T12:00:00.000Z");
const ago = (ms: number): string => new Date(NOW - ms).toISOString();
const HOUR = 3_600_000;

function link(about: Partial<LinkReport>): LinkReport {
  const target = "127.0.0.1:4000";
  return {
    name: "http",
    target,
    state: "up",
    reconnectCount: 0,
    reconnectTries: 0,
    held: 0,
    tunnels: 0,
    history: [],
    ...about,
  };
}

function tunnel(id: string): TunnelReport {
  const side = { bytes: 0, lastByteAgeMs: 0 };
  return { id, route: "mux", path: "/mux", from: "", ageMs: 1000, client: side, upstream: side };
}

function table(about: Partial<Report>, columns = 100): string {
  const report: Report = {
    name: "single-port",
    version: "0",
    node: "v0",
    pid: 1,
    state: "running",
    at: ago(0),
    startedAt: ago(5 * HOUR),
    uptimeSeconds: 18_000,
    listening: "127.0.0.1:3000",
    shared: false,
    network: undefined,
    connections: 0,
    requests: 0,
    held: 0,
    totals: { requests: 0, tunnels: 300, failed: 0, retries: 0, uncaught: 0, endings: {} },
    process: { residentBytes: 1, heapUsedBytes: 1 },
    logCommand: "grep ID",
    routes: [],
    inFlight: [],
    links: [],
    tunnels: [],
    endedBadly: [],
    ...about,
  };
  return statusLines(report, [], { columns, rows: undefined, color: false }).join("\n");
}

test("a report that carries the latest tunnels only: all that are open are counted", () => {
  const text = table({ links: [link({ name: "mux", tunnels: 250 })], tunnels: [tunnel("a-1"), tunnel("a-2")] });
  expect(text).toMatch(/ 250 open, 300 since the start$/m);
  expect(text).toMatch(/^a-2 .*\na-1 .*\nand 248 older ones$/m);
});

test.each<[string, Partial<LinkReport>, RegExp]>([
  ["up", { state: "up", connectedSince: ago(HOUR) }, /^http +up +1h 00m /m],
  [
    "suspect: not since it was connected",
    {
      state: "suspect",
      connectedSince: ago(HOUR),
      history: [
        { at: ago(HOUR), state: "up" },
        { at: ago(2000), state: "suspect" },
      ],
    },
    /^http +suspect +2s /m,
  ],
  ["never seen: since the start", { state: "connecting" }, /^http +connecting +5h 00m /m],
])("since when a link is in its state: %s", (_, about, row) => {
  expect(table({ links: [link(about)] })).toMatch(row);
});

test("in 80 columns: latencies, outages, what waits longest and for whom, what ended badly in a sentence", () => {
  const waits = { route: "http", method: "GET", path: `/${"x".repeat(90)}`, from: "203.0.113.9", attempts: 1 };
  const text = table(
    {
      requests: 7,
      links: [
        link({ latencyMs: { count: 207, p50: 25, p95: 60, p99: undefined }, lastHeardAgeMs: 78, reconnectCount: 2 }),
      ],
      inFlight: [
        { ...waits, id: "a-1", ageMs: 25_000, phase: "waiting", held: false },
        { ...waits, id: "a-2", path: "/x", ageMs: 4000, phase: "connect", held: true, attempts: 16, from: "" },
      ],
      endedBadly: [
        {
          at: ago(0),
          id: "a-3",
          kind: "request",
          route: "http",
          method: "GET",
          path: "/x\x1b[2J",
          status: 503,
          ms: 10_000,
          by: "proxy",
          how: "timeout",
          phase: "connect",
          what: "gave up after 10.0 s: 127.0.0.1:4000 refuses connections",
          code: "ECONNREFUSED",
          attempts: 41,
          from: "203.0.113.9",
        },
      ],
    },
    80,
  );
  const lines = text.split("\n");
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
  expect(lines).toContain("         p50 25ms, p95 60ms, p99 over 2m of 207; heard 78ms ago; outages 2");
  const at = lines.indexOf("OLDEST IN FLIGHT, 5 more");
  expect(lines[at + 1]).toMatch(/^25s {6}http GET \/x+…  waiting, for 203\.0\.113\.9  a-1$/);
  expect(lines[at + 2]).toBe("4s       http GET /x  held, 16 tries  a-2");
  const badly = lines.indexOf("ENDED BADLY, LATEST FIRST");
  expect(lines[badly + 1]).toMatch(/^[\d:]{8} 503 http GET \/x\\x1b\[2J  203\.0\.113\.9  a-3$/);
  expect(lines[badly + 2]).toBe("         gave up after 10.0 s: 127.0.0.1:4000 refuses connections (ECONNREFUSED)");
});
