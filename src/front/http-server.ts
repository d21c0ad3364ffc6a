// Makes node's HTTP server for the public port, with node's own timeouts and refusals turned off: listener.ts and the
// router decide instead. Called by listener.ts.

import { createServer, type IncomingMessage, type Server, type ServerOptions } from "node:http";
import type { Socket } from "node:net";

/** Limits that are passed to node, in milliseconds and bytes. */
export interface ServerLimits {
  /** Node sends it to clients (`Keep-Alive: timeout=`). client-limits.ts enforces it. */
  clientKeepAliveMs: number;
  maxHeaderBytes: number;
  keepAliveMs: number;
}

/** The longest time that node's timers accept: 24.8 days. */
const NEVER_MS = 2 ** 31 - 1;

/**
 * Makes a server; it does not listen yet.
 *
 * @param takesUpgrade for which requests node emits 'upgrade' (Node 22.21 and later; older ones emit it for all).
 */
export function createHttpServer(limits: ServerLimits, takesUpgrade: (req: IncomingMessage) => boolean): Server {
  const options: ServerOptions & { shouldUpgradeCallback(req: IncomingMessage): boolean } = {
    keepAliveTimeout: limits.clientKeepAliveMs,
    maxHeaderSize: limits.maxHeaderBytes,
    // Explicit, because NODE_OPTIONS=--insecure-http-parser changes the default: node would accept smuggled requests.
    insecureHTTPParser: false,
    // Off: client-limits.ts has these limits.
    headersTimeout: 0,
    requestTimeout: 0,
    connectionsCheckingInterval: NEVER_MS,
    keepAlive: true,
    keepAliveInitialDelay: limits.keepAliveMs,
    noDelay: true,
    // The router refuses requests with no Host or two, with a body that says why.
    requireHostHeader: false,
    shouldUpgradeCallback: takesUpgrade,
  };
  const server = createServer(options);
  // No limit on the number of fields: node's parser would obey framing fields that such a limit hides from this proxy.
  // The size of all fields is limited.
  server.maxHeadersCount = 0;
  return server;
}

// Node's parser calls parser.onIncoming for each head (lib/_http_common.js, Node 20 to 26). Returning 2 tells llhttp
// that the connection is upgraded.
type Incoming = IncomingMessage & { upgrade?: boolean };
type ParserSocket = Socket & { parser?: { onIncoming?: (req: Incoming, keepAlive: boolean) => number } | null };
const AS_UPGRADE = 2;

/**
 * Bounds the memory that one read can take. Node parses all bytes of a read, even when the socket is paused meanwhile,
 * so 64 KB of short requests would become thousands of objects. A request for which `defers` is true is treated as an
 * upgrade: node detaches its parser, and everything behind the head stays bytes (listener.ts puts them back later).
 *
 * @param socket a connection that node's server has begun to serve.
 */
export function deferRequests(socket: ParserSocket, defers: (req: IncomingMessage) => boolean): void {
  const { parser } = socket;
  const onIncoming = parser?.onIncoming;
  if (!parser || !onIncoming) return;
  parser.onIncoming = (req, keepAlive) => {
    if (!defers(req)) return onIncoming(req, keepAlive);
    req.upgrade = true;
    return AS_UPGRADE;
  };
}
