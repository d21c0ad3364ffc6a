// What exchanges are made of: their options, what all of them share, and what each is given. Filled in by proxy and gate.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Client } from "../core/client.ts";
import type { Failure } from "../core/errors.ts";
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
