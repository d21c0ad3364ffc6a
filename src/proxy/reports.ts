// Makes the report for /status from the other modules. Called by proxy.ts.

import type { AddressInfo } from "node:net";
import { thisMoment, type Moment } from "../core/moment.ts";
import type { LiveSet } from "../core/live-set.ts";
import type { Listener } from "../front/listener.ts";
import type { Links } from "./links.ts";
import { network } from "../ops/control-place.ts";
import type { History, Readings } from "../ops/history.ts";
import type { Metrics } from "../ops/metrics.ts";
import { logCommand, usage } from "../ops/own-process.ts";
import type { InFlight, Report, RouteReport, TunnelReport, TunnelSideReport } from "../ops/report.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { End } from "../tunnel/end.ts";
import type { Tunnel } from "../tunnel/tunnel.ts";
import { hostPort } from "../core/target.ts";

/** The modules from which the report is made. */
export interface Rooms {
  metrics: Metrics;
  history: History;
  exchanges: LiveSet<Exchange>;
  tunnels: LiveSet<Tunnel>;
  links: Links;
  routes: RouteReport[];
  listener: Listener;
}

/** The proxy's own state. */
export interface Self {
  version: string;
  state: Report["state"];
  started: Moment;
  /** Undefined until the proxy listens. */
  address: AddressInfo | undefined;
  shared: boolean;
}

/** Makes the report. */
export function reportOf({ metrics, history, exchanges, links, listener, ...rooms }: Rooms, self: Self): Report {
  const now = performance.now();
  // A settled tunnel is counted among the ended ones already.
  const tunnels = [...rooms.tunnels].flatMap((tunnel) => (tunnel.settled ? [] : [tunnelReport(tunnel, now)]));
  tunnels.sort((a, b) => b.ageMs - a.ageMs);
  return {
    name: "single-port",
    version: self.version,
    node: process.version,
    pid: process.pid,
    state: self.state,
    at: thisMoment().date,
    startedAt: self.started.date,
    uptimeSeconds: Math.round(now - self.started.ms) / 1000,
    listening: nameOf(self.address),
    shared: self.shared,
    network,
    connections: listener.connections,
    requests: exchanges.size,
    held: links.heldCount.held,
    process: usage(),
    logCommand: logCommand(),
    routes: rooms.routes,
    totals: metrics.totals,
    lastSecond: history.seconds.at(-1),
    links: [...links.byName.values()].map(({ monitor, upstream }) => {
      const own = tunnels.filter(({ route }) => route === monitor.name);
      const lastPongAgeMs = youngest(own.map((one) => one.upstream.lastPongAgeMs));
      const latencyMs = metrics.latencies.quantiles(monitor.name);
      const waits = links.oldestWait(monitor.name);
      const oldestWait = waits && { ms: Math.round(now - waits.since), method: waits.method, path: waits.path };
      return { ...monitor.status, latencyMs, oldestWait, held: upstream.held, tunnels: own.length, lastPongAgeMs };
    }),
    inFlight: oldest(exchanges, now),
    tunnels,
    endedBadly: history.endedBadly,
  };
}

const MAX_IN_FLIGHT = 100;

/** The oldest exchanges, the oldest first. The set has no order of its own (core/bag.ts). */
function oldest(exchanges: LiveSet<Exchange>, now: number): InFlight[] {
  const all = [...exchanges].map(({ progress }) => progress).sort((a, b) => a.started - b.started);
  return all.slice(0, MAX_IN_FLIGHT).map(({ started, client, ...about }) => {
    const held = about.phase === "connect" && about.attempts > 0;
    return { ...about, from: client, ageMs: Math.max(0, Math.round(now - started)), held };
  });
}

function nameOf(address: AddressInfo | undefined): string {
  if (!address) return "";
  // A unix socket passed by systemd has no port.
  return address.port === 0 ? address.address : hostPort(address.address, address.port);
}

/** The counters for the history, each second: cheaper than a report. */
export function readingsOf({ metrics, tunnels }: Pick<Rooms, "metrics" | "tunnels">): Readings {
  const { requests, failed } = metrics.totals;
  const { user, system } = process.cpuUsage();
  let open = 0;
  let tunnelBytes = metrics.closedTunnelBytes;
  for (const tunnel of tunnels) {
    if (tunnel.settled) continue;
    open += 1;
    tunnelBytes += tunnel.client.bytes + tunnel.upstream.bytes;
  }
  return { requests, failed, tunnels: open, tunnelBytes, cpuMs: Math.round((user + system) / 1000) };
}

function youngest(ages: (number | undefined)[]): number | undefined {
  const known = ages.filter((age) => age !== undefined);
  // Not spread into Math.min: a call takes some 120,000 arguments, and --max-tunnels may be larger.
  return known.length === 0 ? undefined : known.reduce((a, b) => Math.min(a, b));
}

function tunnelReport(tunnel: Tunnel, now: number): TunnelReport {
  const side = ({ bytes, liveness }: End): TunnelSideReport => ({
    bytes,
    lastByteAgeMs: Math.max(0, Math.round(now - liveness.lastByte)),
    rttMs: liveness.rttMs,
    lastPongAgeMs: liveness.lastPong === undefined ? undefined : Math.max(0, Math.round(now - liveness.lastPong)),
  });
  const { id, route, path, from } = tunnel;
  const ageMs = Math.max(0, Math.round(now - tunnel.started));
  return { id, route, path, from, ageMs, client: side(tunnel.client), upstream: side(tunnel.upstream) };
}
