// The metrics, with prom-client. Receives outcomes as an Observer; gauges are read from the report for each scrape.
// prom-client is loaded after the start, to start faster: events before that are kept, and counted then.

import { STATUS_CODES } from "node:http";
import type { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Observer, Outcome } from "../core/outcome.ts";
import { load } from "../core/packages.ts";
import { endedBadly } from "./ending.ts";
import { Latencies, SECONDS } from "./latencies.ts";
import type { Report } from "./report.ts";

type Event =
  | { kind: "ended"; outcome: Outcome }
  | { kind: "opened"; route: string }
  | { kind: "ponged"; side: "client" | "upstream"; rttMs: number };

// Error codes that may be a label value; all others become "other", so that a peer cannot create new series.
const REASONS = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOENT",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "unsent",
  "unread",
]);

/** Counts what happens in exchanges. */
export class Metrics implements Observer {
  readonly #report: () => Report;
  /** The counters that /status shows. */
  readonly totals: Report["totals"] = {
    requests: 0,
    tunnels: 0,
    failed: 0,
    retries: 0,
    uncaught: 0,
    endings: {},
  };
  /** Durations of requests by upstream, as /status shows them. */
  readonly latencies: Latencies = new Latencies();
  readonly #closedBytes = new Map<string, { in: number; out: number }>();
  readonly #early: Event[] = [];
  #series: Series | undefined;
  #scraped: Report | undefined;

  /** @param report makes the report from which gauges are read; called once for each scrape. */
  constructor(report: () => Report) {
    this.#report = report;
  }

  ended(outcome: Outcome): void {
    const ending = `${outcome.by} ${outcome.how}`;
    this.totals.endings[ending] = (this.totals.endings[ending] ?? 0) + 1;
    if (endedBadly(outcome)) this.totals.failed += 1;
    if (outcome.kind === "tunnel") this.#addBytes(outcome);
    else {
      this.totals.requests += 1;
      if (outcome.route !== "") this.latencies.observe(outcome.route, outcome.ms / 1000);
    }
    this.totals.retries += retriedAfter(outcome).length;
    this.#take({ kind: "ended", outcome });
  }

  opened(route: string): void {
    this.totals.requests += 1;
    this.totals.tunnels += 1;
    this.#take({ kind: "opened", route });
  }

  ponged(side: "client" | "upstream", rttMs: number): void {
    this.#take({ kind: "ponged", side, rttMs });
  }

  /** Bytes of tunnels that have ended, in both directions. */
  get closedTunnelBytes(): number {
    let sum = 0;
    for (const bytes of this.#closedBytes.values()) sum += bytes.in + bytes.out;
    return sum;
  }

  /** Counts an uncaught socket error. */
  uncaught(): void {
    this.totals.uncaught += 1;
  }

  /** The text of /metrics. */
  async text(): Promise<{ type: string; body: string }> {
    const { registry } = this.load();
    // One report for all gauges of a scrape: it is costly with thousands of tunnels, and the gauges must agree.
    this.#scraped = this.#report();
    return { type: registry.contentType, body: await registry.metrics() };
  }

  /** Loads prom-client and counts what has happened so far. */
  load(): Series {
    if (this.#series) return this.#series;
    const prom = load("prom-client") as typeof import("prom-client");
    const series = createSeries(prom, () => this.#scraped ?? this.#report(), this.#closedBytes);
    this.#series = series;
    for (const event of this.#early.splice(0)) this.#count(series, event);
    return series;
  }

  #take(event: Event): void {
    if (this.#series) this.#count(this.#series, event);
    else this.#early.push(event);
  }

  #addBytes({ route, bytesIn, bytesOut }: Outcome): void {
    const bytes = this.#closedBytes.get(route) ?? { in: 0, out: 0 };
    this.#closedBytes.set(route, { in: bytes.in + bytesIn, out: bytes.out + bytesOut });
  }

  #count(series: Series, event: Event): void {
    if (event.kind === "opened") return series.requests.inc({ route: event.route, status: 101 });
    if (event.kind === "ponged") return series.rtt.observe({ side: event.side }, event.rttMs / 1000);
    const { outcome } = event;
    series.endings.inc({ side: outcome.by, how: outcome.how, phase: outcome.phase });
    for (const code of retriedAfter(outcome)) series.retries.inc({ reason: REASONS.has(code) ? code : "other" });
    const route = outcome.route || "none";
    if (outcome.kind === "tunnel") return series.tunnels.inc({ route, end: `${outcome.by}_${outcome.how}` });
    series.requests.inc({ route, status: statusLabel(outcome.status) });
    series.duration.observe({ route }, outcome.ms / 1000);
  }
}

/** The error code before each retry: those of attempts that had a connection, except the last attempt. */
function retriedAfter({ attempts }: Outcome): string[] {
  return attempts
    .slice(0, -1)
    .flatMap(({ phase, proof, code = "other" }) => (phase === "connect" ? [] : [proof ?? code]));
}

/** A status as a label value. An upstream may send any three digits: unknown statuses become "other". */
function statusLabel(status: number): string | number {
  if (status === 0) return "none";
  return status in STATUS_CODES ? status : "other";
}

/** The metrics that are counted here; gauges read the report themselves. */
interface Series {
  registry: Registry;
  requests: Counter;
  duration: Histogram;
  retries: Counter;
  tunnels: Counter;
  endings: Counter;
  rtt: Histogram;
}

let processFigures: Registry | undefined;

/**
 * The metrics of the process. Made once, because prom-client's collectors cannot be stopped, and a process may run
 * several proxies one after another.
 */
function figuresOfProcess(prom: typeof import("prom-client")): Registry {
  if (processFigures) return processFigures;
  const register = (processFigures = new prom.Registry());
  prom.collectDefaultMetrics({ register, eventLoopMonitoringPrecision: 100 });
  // These gauges are named like counters, for which promtool warns.
  for (const name of ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"]) {
    register.removeSingleMetric(name);
  }
  return register;
}

function createSeries(
  prom: typeof import("prom-client"),
  report: () => Report,
  closedBytes: ReadonlyMap<string, { in: number; out: number }>,
): Series {
  const registry = new prom.Registry();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]): Counter =>
    new prom.Counter({ name: `single_port_${name}`, help, labelNames, registers });
  // Values that are read from the report for each scrape.
  const read =
    (kind: typeof prom.Gauge | typeof prom.Counter) =>
    (name: string, help: string, labelNames: string[], readings: (report: Report) => Reading[]): void => {
      const collect = function collect(this: Gauge | Counter): void {
        this.reset();
        for (const [labels, value] of readings(report())) this.inc(labels, value);
      };
      registry.registerMetric(new kind({ name: `single_port_${name}`, help, labelNames, registers: [], collect }));
    };
  const gauge = read(prom.Gauge);
  const total = read(prom.Counter);
  gauge("connections_open", "Client connections.", [], ({ connections }) => [[{}, connections]]);
  gauge("held_requests", "Requests that wait for an upstream that cannot be reached.", [], ({ held }) => [[{}, held]]);
  gauge("tunnels_open", "Open tunnels.", ["route"], ({ links }) =>
    links.map(({ name, tunnels }) => [{ route: name }, tunnels]),
  );
  gauge("upstream_up", "1 if the upstream is up, 0 if not.", ["upstream"], ({ links }) =>
    links.map(({ name, state }) => [{ upstream: name }, state === "up" ? 1 : 0]),
  );
  total("upstream_reconnects_total", "Outages that the upstream has recovered from.", ["upstream"], ({ links }) =>
    links.map(({ name, reconnectCount }) => [{ upstream: name }, reconnectCount]),
  );
  total("upstream_reconnect_tries_total", "Attempts to connect during outages.", ["upstream"], ({ links }) =>
    links.map(({ name, reconnectTries }) => [{ upstream: name }, reconnectTries]),
  );
  total("uncaught_total", "Uncaught socket errors: a bug if not zero.", [], ({ totals }) => [[{}, totals.uncaught]]);
  // Includes open tunnels: some live for weeks.
  total(
    "tunnel_bytes_total",
    "Bytes relayed by tunnels, from (in) and to (out) the client.",
    ["route", "direction"],
    (now) =>
      now.links.flatMap(({ name }): Reading[] => {
        const open = now.tunnels.filter(({ route }) => route === name);
        const closed = closedBytes.get(name) ?? { in: 0, out: 0 };
        return [
          [{ route: name, direction: "in" }, open.reduce((sum, { client }) => sum + client.bytes, closed.in)],
          [{ route: name, direction: "out" }, open.reduce((sum, { upstream }) => sum + upstream.bytes, closed.out)],
        ];
      }),
  );
  const series = {
    requests: counter("requests_total", "Requests by response status; 101 opened a tunnel.", ["route", "status"]),
    retries: counter("retries_total", "Requests sent again, by the error of the attempt before.", ["reason"]),
    tunnels: counter("tunnels_total", "Tunnels that ended, by side and kind.", ["route", "end"]),
    endings: counter("endings_total", "Exchanges that ended, by side, kind and phase.", ["side", "how", "phase"]),
    duration: new prom.Histogram({
      name: "single_port_request_duration_seconds",
      help: "Time from the request head to the end of the response.",
      labelNames: ["route"],
      buckets: [...SECONDS],
      registers,
    }),
    rtt: new prom.Histogram({
      name: "single_port_ping_rtt_seconds",
      help: "Time from a ping to its pong.",
      labelNames: ["side"],
      buckets: [...SECONDS],
      registers,
    }),
  };
  return { ...series, registry: prom.Registry.merge([figuresOfProcess(prom), registry]) };
}

type Reading = [labels: Record<string, string>, value: number];
