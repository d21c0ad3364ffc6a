// Opens the tunnel after a 101, and turns the tunnel's end into the outcome of the exchange. Called by exchange.ts.

import type { Socket } from "node:net";
import { switchingHead, type ResponseHead } from "../http/response-head.ts";
import { Tunnel } from "../tunnel/tunnel.ts";
import type { Admitted, RelayParts } from "./parts.ts";
import type { ExchangeRecord } from "./record.ts";

/**
 * Sends the 101 to the client, and makes the tunnel between the two sockets. The tunnel refers to the record, not to
 * the exchange: it may live for weeks, and would keep both heads and node's request and response in memory.
 */
export function openTunnel(
  parts: RelayParts,
  { res, client, upstream }: Admitted,
  record: ExchangeRecord,
  switched: { upstream: Socket; head: ResponseHead },
): Tunnel {
  const { observer, clock } = parts;
  res.detachSocket(client.socket);
  client.socket.write(switchingHead(switched.head), "latin1");
  observer.opened(upstream.name);
  return new Tunnel(parts, {
    client: client.socket,
    upstream: switched.upstream,
    extensions: switched.head.extensions,
    id: record.id,
    route: upstream.name,
    path: record.path,
    from: record.facts.client,
    ended: (by, how, bytesIn, bytesOut, left) =>
      observer.ended(record.outcome({ by, how, phase: "tunnel", status: 101, bytesIn, bytesOut, left })),
    ponged: (side, rttMs) => {
      if (side === "upstream") upstream.heard(clock.now);
      observer.ponged(side, rttMs);
    },
  });
}
