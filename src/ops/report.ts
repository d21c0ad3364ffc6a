// What the proxy says of itself: the shape of /status. Filled in by reports.ts; read by the admin handler,
// the live page and `single-port status`.

import type { Quantiles } from "./latencies.ts";
import type { Usage } from "./own-process.ts";

/** One change of a link's state. */
export interface LinkChange {
  at: string;
  state: string;
  reason?: string | undefined;
}

/** One upstream link. */
export interface LinkReport {
  name: string;
  target: string;
  state: "connecting" | "up" | "suspect" | "reconnecting";
  /** Outages it has come back from, since the start of the process. */
  reconnectCount: number;
  /** Tries made in them, those that succeeded included. */
  reconnectTries: number;
  connectedSince?: string | undefined;
  lastProbeAt?: string | undefined;
  lastProbeOk?: boolean | undefined;
  /** What the last probe asked for. That a connection stands proves no more than that. */
  lastProbeKind?: "connect" | "byte" | "http" | undefined;
  /** The request that has waited longest for the head of its response. */
  oldestWait?: { ms: number; method: string; path: string } | undefined;
  lastError?: string | undefined;
  lastHeardAgeMs?: number | undefined;
  /** Of the tunnel that answered a ping last. */
  lastPongAgeMs?: number | undefined;
  /** From the head of a request to the end of its answer; undefined before the first. */
  latencyMs?: Quantiles | undefined;
  held: number;
  /** Open through it. */
  tunnels: number;
  history: LinkChange[];
}

/** One side of a tunnel. */
export interface TunnelSideReport {
  /** Bytes that came from it. */
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
  /** Does it wait for its upstream to come back? */
  held: boolean;
  attempts: number;
}

/** One path that leads somewhere. */
export interface RouteReport {
  /** `*` for everything that has no line of its own. */
  path: string;
  upstream: string;
  target: string;
}

/** What happened in one second. */
export interface Second {
  /** When it was over. */
  at: string;
  requests: number;
  failed: number;
  /** Relayed by tunnels, both ways. */
  tunnelBytes: number;
  /** Open at its end. */
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
  /** Who did what, in a sentence, as in the log. */
  what: string;
  /** The system's code of the last failure: `ECONNREFUSED`. */
  code?: string | undefined;
  attempts: number;
  /** The client's address. */
  from?: string | undefined;
}

/** Everything. */
export interface Report {
  name: "single-port";
  version: string;
  node: string;
  pid: number;
  state: "starting" | "running" | "draining" | "stopped";
  /** When the report was made: all its dates are by the same clock. */
  at: string;
  startedAt: string;
  /** To the millisecond, by a clock that nobody sets: it stands still while the machine sleeps. */
  uptimeSeconds: number;
  listening: string;
  /** Another single-port can bind beside this one (SO_REUSEPORT). */
  shared: boolean;
  /** The network namespace it is in (the number of the kernel); undefined where there is none. */
  network: string | undefined;
  connections: number;
  /** Requests being served. */
  requests: number;
  held: number;
  totals: {
    requests: number;
    tunnels: number;
    /** Exchanges that ended badly; each answer of 5xx is one. */
    failed: number;
    /** Requests sent again because the connection broke; dials of a held request are none. */
    retries: number;
    uncaught: number;
    /** How many exchanges ended so, by side and kind: `client rst`. */
    endings: Record<string, number>;
  };
  process: Usage;
  /** Shows the lines of the log about one exchange, whose id takes the place of `ID`. */
  logCommand: string;
  routes: RouteReport[];
  /** The last whole second. */
  lastSecond?: Second | undefined;
  links: LinkReport[];
  /** Being served or held, the oldest first: a hundred at most; `requests` and `held` count all. */
  inFlight: InFlight[];
  /** Those that are open, the latest last. */
  tunnels: TunnelReport[];
  /** The latest ones, latest first. */
  endedBadly: EndedBadly[];
}
