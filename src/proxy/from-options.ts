// What each part of a proxy gets of the command line's options: its limits, and where each path leads.
// Called by proxy.ts; pure.

import { hostsOf } from "../core/hosts.ts";
import { isSameAddress, type Target } from "../core/target.ts";
import type { RelayParts } from "../exchange/parts.ts";
import type { ListenerOptions } from "../front/listener.ts";
import type { MuxRoute, Routes } from "../front/router.ts";
import type { RouteReport } from "../ops/report.ts";
import type { Options } from "../options/options.ts";

/** The name of a mux, by its place on the command line: `mux`, `mux2` ... */
function muxName(index: number): string {
  return index === 0 ? "mux" : `mux${index + 1}`;
}

/** The upstreams, by name: `http` first, then each mux. */
export function targetsOf({ http, mux }: Options): [name: string, target: Target][] {
  return [["http", http], ...mux.map(({ target }, index): [string, Target] => [muxName(index), target])];
}

/** The upstream of each path, for the report; `*` is for all other paths, which go to the web server. */
export function routeReportsOf({ http, mux }: Options): RouteReport[] {
  const toMux = mux.flatMap(({ target, paths }, index) =>
    paths.map((path) => ({ path, upstream: muxName(index), target: `${target.label}${target.path ?? ""}` })),
  );
  return [...toMux, { path: "*", upstream: "http", target: http.label }];
}

/** What the router decides by. */
export function routesOf({ http, mux, host, allowOrigin, allowHost }: Options): Routes {
  const byPath = new Map<string, MuxRoute>();
  for (const [index, { target, paths }] of mux.entries()) {
    for (const path of paths) byPath.set(path, { upstream: muxName(index), path: target.path });
  }
  return {
    mux: byPath,
    allowOrigin: new Set(allowOrigin),
    allowHost: hostsOf(allowHost, host),
    httpIsMux: mux.some(({ target }) => isSameAddress(target.address, http.address)),
  };
}

/** The limits of exchanges and tunnels. */
export function relayOptionsOf(options: Options): RelayParts["options"] {
  return {
    responseTimeoutMs: options.responseTimeout,
    handshakeTimeoutMs: options.handshakeTimeout,
    bodyTimeoutMs: options.bodyTimeout,
    replayBytes: options.replayBuffer,
    maxHeaderBytes: options.maxHeaderSize,
    stallMs: options.stallTimeout,
    pingIntervalMs: options.pingInterval,
    pingTimeoutMs: options.pingTimeout,
  };
}

/** The limits of client connections. */
export function listenerOptionsOf(options: Options): ListenerOptions {
  return {
    headersTimeoutMs: options.headersTimeout,
    requestTimeoutMs: options.requestTimeout,
    clientKeepAliveMs: options.clientKeepAlive,
    maxHeaderBytes: options.maxHeaderSize,
    maxConnections: options.maxConnections,
    keepAliveMs: options.tcpKeepAlive,
    trusted: options.trustProxy,
  };
}
