// The report: the shape of /status. Made by proxy/reports.ts; read by admin.ts, the live page and `single-port status`.

import type { Quantiles } from "./latencies.ts";
import type { Usage } from "./own-process.ts";

/** One change of a link's state. */
export interface LinkChange {
  at: string;
  state: string;
  reason?: string | undefined;
}

/** The link to one upstream. */
export interface LinkReport {
  name: string;
  target: string;
  state: "connecting" | "up" | "suspect" | "reconnecting";
  /** Outages that the upstream has come back from, since the start of the process. */
  reconnectCount: number;
  /** Dials made in outages, including those that succeeded. */
  reconnectTries: number;
  connectedSince?: string | undefined;
  lastProbeAt?: string | undefined;
  lastProbeOk?: boolean | undefined;
  /** What the last probe waited for: a connection only, any byte, or an HTTP status (--http-probe). */
  lastProbeKind?: "connect" | "byte" | "http" | undefined;
  /** The request that has waited longest for the head of its response. */
  oldestWait?: { ms: number; method: string; path: string } | undefined;
  lastError?: string | undefined;
  lastHeardAgeMs?: number | undefined;
  /** Since the last pong in any tunnel to it. */
  lastPongAgeMs?: number | undefined;
  /** From the head of a request to the end of its answer; undefined before the first. */
  latencyMs?: Quantiles | undefined;
  held: number;
  /** Open tunnels to the upstream. */
  tunnels: number;
  history: LinkChange[];
}

/** One side of a tunnel. */
export interface TunnelSideReport {
  /** Bytes that came from this side. */
  bytes: number;
  lastByteAgeMs: number;
  rttMs?: number | undefined;
  lastPongAgeMs?: number | undefined;
}

/** One open tunnel. */
export interface TunnelReport {
  id: string;
  route: string;
  path: string;
  /** The client's address. */
  from: string;
  ageMs: number;
  client: TunnelSideReport;
  upstream: TunnelSideReport;
}

/** A request that is being served, or held. */
export interface InFlight {
  id: string;
  route: string;
  method: string;
  path: string;
  from: string;
  ageMs: number;
  phase: string;
  /** Does the request wait for its upstream to come back? */
  held: boolean;
  attempts: number;
}

/** Where one request path leads. */
export interface RouteReport {
  /** `*` stands for all other paths. */
  path: string;
  upstream: string;
  target: string;
}

/** What happened in one second. */
export interface Second {
  /** The end of the second. */
  at: string;
  requests: number;
  failed: number;
  /** Bytes relayed by tunnels, in both directions. */
  tunnelBytes: number;
  /** Tunnels open at the end of the second. */
  tunnels: number;
  /** Processor time of the whole process, user and system. */
  cpuMs: number;
}

/** An exchange that ended badly. */
export interface EndedBadly {
  at: string;
  id: string;
  kind: "request" | "tunnel";
  route: string;
  method: string;
  path: string;
  status: number;
  error?: string | undefined;
  ms: number;
  by: string;
  how: string;
  phase: string;
  /** What happened, in a sentence, as in the log. */
  what: string;
  /** The system's code of the last failure: `ECONNREFUSED`. */
  code?: string | undefined;
  attempts: number;
  /** The client's address. */
  from?: string | undefined;
}

/** The whole report. */
export interface Report {
  name: "single-port";
  version: string;
  node: string;
  pid: number;
  state: "starting" | "running" | "draining" | "stopped";
  /** When the report was made, by the clock of all its dates. */
  at: string;
  startedAt: string;
  /** By the monotonic clock, which stands still while the machine sleeps; to the millisecond. */
  uptimeSeconds: number;
  listening: string;
  /** Was the port bound with SO_REUSEPORT, so that another instance can bind beside this one? */
  shared: boolean;
  /** The inode of the process's network namespace; undefined where there is none. */
  network: string | undefined;
  connections: number;
  /** Requests being served. */
  requests: number;
  held: number;
  totals: {
    requests: number;
    tunnels: number;
    /** Exchanges that ended badly (ending.ts); each answer of 5xx is one. */
    failed: number;
    /** Requests sent again because their connection broke. Dials for a held request do not count. */
    retries: number;
    uncaught: number;
    /** Ended exchanges by side and kind: `client rst`. */
    endings: Record<string, number>;
  };
  process: Usage;
  /** A shell command that shows the log lines of one exchange; put its id in place of `ID`. */
  logCommand: string;
  routes: RouteReport[];
  /** The last whole second. */
  lastSecond?: Second | undefined;
  links: LinkReport[];
  /** Requests being served or held, the oldest first; a hundred at most. `requests` and `held` count all. */
  inFlight: InFlight[];
  /** Open tunnels, the latest last. */
  tunnels: TunnelReport[];
  /** The latest exchanges that ended badly, the latest first. */
  endedBadly: EndedBadly[];
}
