// What exchanges are made of: their options, what all of them share, and what each is given. Filled in by proxy and gate.

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
  /** Bytes of a body kept for another attempt. */
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

/** How far an exchange is. `started` is by the monotonic clock, in milliseconds. */
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
 * An event stream would wait anyway, so its request is held as long as a response may take, and comes again after that.
 * Less than any front waits for a head: nginx does for 60 s, and its 504 would end an EventSource for good.
 */
const EVENTS_PATIENCE_MS = 50_000;

/** How long a request is held at least, whatever `--hold` says; in milliseconds. 0 for all but event streams. */
export function patienceMs(req: IncomingMessage, responseTimeoutMs: number): number {
  return acceptsOnlyEvents(req) ? Math.min(responseTimeoutMs || Infinity, EVENTS_PATIENCE_MS) : 0;
}

/** One request that was let in. */
export interface Admitted {
  req: IncomingMessage;
  res: ServerResponse;
  head: RequestHead;
  client: Client;
  upstream: Upstream;
  /** Is it held while the upstream is away? */
  patience: Patience;
  /** The head to send. */
  text: string;
  /** Is a 101 welcome? `early` are the bytes that came behind the head. */
  upgrade: { early: Buffer } | undefined;
  /** Answers with a failure; http-proxy's error callback for plain requests. */
  refused(failure: Failure): void;
}
