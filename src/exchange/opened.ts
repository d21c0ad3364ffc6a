// The tunnel that a 101 opens, and what it leaves behind: the outcome of the exchange that asked for it. Called by
// exchange.ts.

import type { Socket } from "node:net";
import type { ResponseHead } from "../http/response-head.ts";
import { Tunnel } from "../tunnel/tunnel.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { RelayParts } from "./parts.ts";
import type { ExchangeRecord } from "./record.ts";

/**
 * Makes the tunnel between the two sockets. It keeps the record and not the exchange: a tunnel lives for weeks, and
 * would keep both heads and node's objects.
 */
export function openTunnel(
  parts: RelayParts,
  upstream: Upstream,
  record: ExchangeRecord,
  ends: { client: Socket; upstream: Socket; head: ResponseHead },
): Tunnel {
  const { observer, clock } = parts;
  return new Tunnel(parts, {
    client: ends.client,
    upstream: ends.upstream,
    extensions: ends.head.extensions,
    id: record.id,
    route: upstream.name,
    path: record.path,
    from: record.facts.client,
    ended: (by, how, bytesIn, bytesOut) =>
      observer.ended(record.outcome({ by, how, phase: "tunnel", status: 101, bytesIn, bytesOut })),
    ponged: (side, rttMs) => {
      if (side === "upstream") upstream.heard(clock.now);
      observer.ponged(side, rttMs);
    },
  });
}
