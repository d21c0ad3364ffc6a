// The series of /metrics, with prom-client. Their values are read for each scrape, from what metrics.ts has counted and
// from the report.

import { STATUS_CODES } from "node:http";
import type { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Counts } from "./counts.ts";
import { SECONDS, type Latencies } from "./latencies.ts";
import type { Report } from "./report.ts";

/** All that is counted since the start. */
export interface Counted {
  readonly ended: Counts;
  /** Tunnels that were opened, by upstream. */
  readonly opened: Map<string, number>;
  /** Requests that were sent again, by reason. */
  readonly retries: Map<string, number>;
  /** Bytes of tunnels that have ended, by upstream. */
  readonly closedBytes: Map<string, { in: number; out: number }>;
  /** Durations of requests by upstream. */
  readonly requests: Latencies;
  /** Durations of pings by side. */
  readonly pings: Latencies;
}

/** A status as a label value. An upstream may send any three digits: unknown statuses become "other". */
function statusLabel(status: number): string | number {
  if (status === 0) return "none";
  return status in STATUS_CODES ? status : "other";
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

/** Makes all series; their values are read for each scrape. */
export function createSeries(prom: typeof import("prom-client"), report: () => Report, counted: Counted): Registry {
  const registry = new prom.Registry();
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
        const closed = counted.closedBytes.get(name) ?? { in: 0, out: 0 };
        return [
          [{ route: name, direction: "in" }, open.reduce((sum, { client }) => sum + client.bytes, closed.in)],
          [{ route: name, direction: "out" }, open.reduce((sum, { upstream }) => sum + upstream.bytes, closed.out)],
        ];
      }),
  );
  total("requests_total", "Requests by response status; 101 opened a tunnel.", ["route", "status"], () => [
    ...[...counted.opened].map(([route, count]): Reading => [{ route, status: 101 }, count]),
    ...counted.ended.rows
      .filter(({ kind }) => kind === "request")
      .map(({ route, status, count }): Reading => [{ route: route || "none", status: statusLabel(status) }, count]),
  ]);
  total("retries_total", "Requests sent again, by the error of the attempt before.", ["reason"], () =>
    [...counted.retries].map(([reason, count]) => [{ reason }, count]),
  );
  total("tunnels_total", "Tunnels that ended, by side and kind.", ["route", "end"], () =>
    counted.ended.rows
      .filter(({ kind }) => kind === "tunnel")
      .map(({ route, by, how, count }): Reading => [{ route: route || "none", end: `${by}_${how}` }, count]),
  );
  total("endings_total", "Exchanges that ended, by side, kind and phase.", ["side", "how", "phase"], () =>
    counted.ended.rows.map(({ by, how, phase, count }) => [{ side: by, how, phase }, count]),
  );
  const histogram = (name: string, help: string, label: string, durations: Latencies): void =>
    registry.registerMetric(histogramOf(prom, { name: `single_port_${name}`, help, label }, durations));
  histogram(
    "request_duration_seconds",
    "Time from the request head to the end of the response.",
    "route",
    counted.requests,
  );
  histogram("ping_rtt_seconds", "Time from a ping to its pong.", "side", counted.pings);
  return prom.Registry.merge([figuresOfProcess(prom), registry]);
}

/** One histogram. prom-client counts one value at a time, so this one gives it what is counted already. */
function histogramOf(
  prom: typeof import("prom-client"),
  { name, help, label }: { name: string; help: string; label: string },
  durations: Latencies,
): Histogram {
  const values = (): object[] =>
    [...durations.entries()].flatMap(([value, { counts, sum }]) => {
      const labels: Labels = { [label]: value };
      let count = 0;
      const buckets = counts.map((more, bucket) => ({
        metricName: `${name}_bucket`,
        labels: { le: SECONDS[bucket] ?? "+Inf", ...labels },
        value: (count += more),
      }));
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ];
    });
  const histogram = new prom.Histogram({ name, help, labelNames: [label], buckets: [...SECONDS], registers: [] });
  // The function that the registry asks; it is missing from prom-client's types.
  const getForPromString = async (): Promise<object> => ({ name, help, type: "histogram", values: values() });
  return Object.assign(histogram, { getForPromString });
}

type Labels = Record<string, string | number>;
type Reading = [labels: Labels, value: number];
