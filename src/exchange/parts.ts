// Types of what exchanges are given: options, shared parts, and the request. Filled in by proxy/proxy.ts and gate.ts.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Client } from "../core/client.ts";
import type { Failure } from "../core/errors.ts";
import { acceptsOnlyEvents } from "../core/event-source.ts";
import type { LiveSet } from "../core/live-set.ts";
import type { Observer, Phase } from "../core/outcome.ts";
import type { Clock } from "../core/timer.ts";
import type { RequestHead } from "../http/request-head.ts";
import type { TunnelOptions } from "../tunnel/limits.ts";
import type { Tunnel } from "../tunnel/tunnel.ts";
import type { Patience, Upstream } from "../upstream/upstream.ts";
import type { Exchange } from "./exchange.ts";
import type { ExchangeTimes } from "./limits.ts";

/** Limits of an exchange and of the tunnel that it may open. */
export interface RelayOptions extends TunnelOptions, ExchangeTimes {
  /** Max bytes of a body that are kept for another attempt. */
  replayBytes: number;
  maxHeaderBytes: number;
}

/** What every exchange shares. */
export interface RelayParts {
  clock: Clock;
  tunnels: LiveSet<Tunnel>;
  exchanges: LiveSet<Exchange>;
  observer: Observer;
  options: RelayOptions;
}

/** The progress of an exchange, for the report. `started` is by the monotonic clock, in milliseconds. */
export interface Progress {
  id: string;
  route: string;
  method: string;
  path: string;
  client: string;
  started: number;
  phase: Phase;
  attempts: number;
}

/** A request that waits for the head of its response. Times are milliseconds of the monotonic clock. */
export interface Waited {
  upstream: string;
  since: number;
  method: string;
  /** Without the query. */
  path: string;
}

/**
 * A browser's EventSource waits anyway, so its request is held longer than --hold. Less than any front waits for a
 * response head: nginx answers 504 after 60 s, and that would end an EventSource for good.
 */
const EVENTS_PATIENCE_MS = 50_000;

/** How long a request is held at least, whatever `--hold` says, in milliseconds; 0 for all but event streams. */
export function patienceMs(req: IncomingMessage, responseTimeoutMs: number): number {
  return acceptsOnlyEvents(req) ? Math.min(responseTimeoutMs || Infinity, EVENTS_PATIENCE_MS) : 0;
}

/** A request that the router has accepted, and what its exchange needs. */
export interface Admitted {
  req: IncomingMessage;
  res: ServerResponse;
  head: RequestHead;
  client: Client;
  upstream: Upstream;
  /** May the request be held while the upstream cannot be reached? */
  patience: Patience;
  /** The head to send to the upstream. */
  text: string;
  /** For a WebSocket handshake: the bytes that came behind its head. Undefined for a plain request. */
  upgrade: { early: Buffer } | undefined;
  /** Answers the client with a failure. For plain requests this is http-proxy's error callback. */
  refused(failure: Failure): void;
}
