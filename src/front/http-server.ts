// Node's HTTP server as the public port wants it: our limits, and none of its own decisions. Made for listener.ts.

import { createServer, type IncomingMessage, type Server, type ServerOptions } from "node:http";
import type { Socket } from "node:net";

/** What node limits for us, in milliseconds and bytes. */
export interface ServerLimits {
  /** Node tells it to clients (`Keep-Alive: timeout=`); see client-limits.ts. */
  clientKeepAliveMs: number;
  maxHeaderBytes: number;
  keepAliveMs: number;
}

/** The most that a timer of node takes: 24.8 days. */
const NEVER_MS = 2 ** 31 - 1;

/** A server that does not listen yet. `takesUpgrade` says which upgrades are handed out as such (Node 22.21 and later). */
export function createHttpServer(limits: ServerLimits, takesUpgrade: (req: IncomingMessage) => boolean): Server {
  const options: ServerOptions & { shouldUpgradeCallback(req: IncomingMessage): boolean } = {
    keepAliveTimeout: limits.clientKeepAliveMs,
    maxHeaderSize: limits.maxHeaderBytes,
    // Said, because the default is NODE_OPTIONS' to set: with --insecure-http-parser node would read smuggled requests.
    insecureHTTPParser: false,
    // Its limits of time are ours (client-limits.ts).
    headersTimeout: 0,
    requestTimeout: 0,
    connectionsCheckingInterval: NEVER_MS,
    keepAlive: true,
    keepAliveInitialDelay: limits.keepAliveMs,
    noDelay: true,
    // Missing and doubled Host are refused by the router, with a body that says why.
    requireHostHeader: false,
    shouldUpgradeCallback: takesUpgrade,
  };
  const server = createServer(options);
  // No cap on the number of fields: their size is limited, and node's parser honours framing fields that a cap would hide.
  server.maxHeadersCount = 0;
  return server;
}

// What node's parser calls for each head (lib/_http_common.js, Node 20 to 26). 2 is llhttp's word for an upgrade.
type Incoming = IncomingMessage & { upgrade?: boolean };
type ParserSocket = Socket & { parser?: { onIncoming?: (req: Incoming, keepAlive: boolean) => number } | null };
const AS_UPGRADE = 2;

/**
 * Bounds what one read becomes. Node parses all that a read brings, whatever is paused meanwhile: 64 KB of short
 * requests would be thousands of objects. A request that `defers` is named for is handed out as an upgrade is: node lets
 * go of the connection, and everything behind the head stays bytes.
 *
 * @param socket of a connection that node's server has begun to serve.
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
