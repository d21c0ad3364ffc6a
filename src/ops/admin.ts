// The admin server: /live, /ready, /status, /metrics, /events and the live page, on --admin and on the control socket.
// Made by proxy/admins.ts. Never on the public port: behind a front all clients come from loopback.

import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Why } from "../core/errors.ts";
import { isHostAllowed, whyHost } from "../core/hosts.ts";
import type { HostList } from "../core/names.ts";
import { cut, guard } from "../core/sockets.ts";
import type { History } from "./history.ts";
import { readiness } from "./readiness.ts";
import type { Report } from "./report.ts";

/** What the admin server shows, and who may ask. */
export interface AdminParts {
  report(): Report;
  /** A report is sent on /events whenever this has a new second. */
  history: Pick<History, "seconds" | "follow">;
  metrics(): Promise<{ type: string; body: string }>;
  /** The live page and its Content-Security-Policy. */
  page(): Promise<{ html: string; policy: string }>;
  /** Accepted Host values; undefined accepts all (a unix socket, which no browser can reach). */
  allowHost?: HostList | undefined;
  /** Is told of requests with another Host. */
  refused?(why: Why): void;
  /** Drains the proxy, on POST /drain. Given for the control socket only, which only this user can open. */
  drain?: () => void;
}

/** The parts, and the number of open /events streams of one server. */
interface Serving extends AdminParts {
  streams: { open: number; most: number };
}

/** /events sends a report each second, with the latest tunnels and endings only; /status has all of them. */
const MAX_TUNNELS_STREAMED = 200;
const MAX_ENDINGS_STREAMED = 20;

/** Limit of admin connections; with few descriptors a share of them, because clients need the rest. */
const MAX_CONNECTIONS = 64;
const SHARE_OF_DESCRIPTORS = 1 / 8;

/** How many connections an admin server accepts. */
function connectionLimit(): number {
  let descriptors = Infinity;
  try {
    descriptors = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? Infinity);
  } catch {
    // /proc exists on Linux only.
  }
  return Math.max(4, Math.min(MAX_CONNECTIONS, Math.floor(descriptors * SHARE_OF_DESCRIPTORS)));
}

/**
 * Makes an admin server; it does not listen yet. Its connections are limited. Streams of /events stay open, so they may
 * take half of the connections only; further ones get a 503.
 */
export function createAdmin(given: AdminParts): Server {
  const limit = connectionLimit();
  const parts = { ...given, streams: { open: 0, most: Math.floor(limit / 2) } };
  // Explicit, because NODE_OPTIONS can change both defaults.
  const strictly = { insecureHTTPParser: false, maxHeaderSize: 16 * 1024 };
  const server = createServer({ keepAliveTimeout: 5000, headersTimeout: 10_000, ...strictly }, (req, res) => {
    answer(parts, req, res).catch(() => cut(req.socket));
  });
  // Node closes connections above the limit at once.
  server.maxConnections = limit;
  server.prependListener("connection", guard);
  server.on("clientError", (_error, socket) => cut(socket as Parameters<typeof cut>[0]));
  return server;
}

async function answer(parts: Serving, req: IncomingMessage, res: ServerResponse): Promise<void> {
  if (!comesFromHere(parts, req)) return refuseHost(parts, req, res);
  const path = (req.url ?? "/").replace(/\?.*$/s, "");
  if (path === "/drain" && parts.drain) {
    if (req.method !== "POST") return notAllowed(res, "POST");
    text(res, 202, "draining\n");
    return parts.drain();
  }
  const paths = ["/live", "/ready", "/status", "/metrics", "/events", "/"];
  if (!paths.includes(path)) return text(res, 404, `not found; there are ${paths.join(", ")}\n`);
  if (req.method !== "GET" && req.method !== "HEAD") return notAllowed(res, "GET, HEAD");
  switch (path) {
    case "/live":
      return text(res, 200, "live\n");
    case "/ready": {
      const now = readiness(parts.report());
      return json(res, now.ready ? 200 : 503, now);
    }
    case "/status":
      return json(res, 200, parts.report());
    case "/metrics": {
      const { type, body } = await parts.metrics();
      return send(res, 200, ["Content-Type", type], body);
    }
    case "/events":
      return stream(parts, req, res);
    default: {
      const { html, policy } = await parts.page();
      send(res, 200, ["Content-Type", "text/html; charset=utf-8", "Content-Security-Policy", policy], html);
    }
  }
}

/**
 * Is Host a name of this machine? Otherwise a page on the internet whose name resolves to this machine (DNS rebinding)
 * could read everything. Forwarding fields are no proof here: the script of such a page can set them with fetch(),
 * which it cannot on a WebSocket. A request without Host is not from a browser.
 */
function comesFromHere({ allowHost }: AdminParts, { headers: { host } }: IncomingMessage): boolean {
  return !allowHost || host === undefined || isHostAllowed(host, allowHost);
}

function refuseHost(parts: AdminParts, req: IncomingMessage, res: ServerResponse): void {
  const why = whyHost(req.headers.host ?? "");
  parts.refused?.(why);
  const body = `received: ${why.seen}\naccepted: ${why.expected}\nto allow it: ${why.option}\n`;
  send(res, 403, ["Content-Type", "text/plain; charset=utf-8", "X-Single-Port-Error", "host_not_allowed"], body);
}

function text(res: ServerResponse, status: number, body: string): void {
  send(res, status, ["Content-Type", "text/plain; charset=utf-8"], body);
}

function json(res: ServerResponse, status: number, body: unknown): void {
  send(res, status, ["Content-Type", "application/json"], `${JSON.stringify(body)}\n`);
}

function notAllowed(res: ServerResponse, allowed: string): void {
  send(
    res,
    405,
    ["Content-Type", "text/plain; charset=utf-8", "Allow", allowed],
    `method not allowed; allowed: ${allowed}\n`,
  );
}

const COMMON = ["Cache-Control", "no-store", "X-Content-Type-Options", "nosniff"];

function send(res: ServerResponse, status: number, fields: string[], body: string): void {
  res.writeHead(status, [...fields, "Content-Length", String(Buffer.byteLength(body)), ...COMMON]);
  res.end(body);
}

/**
 * Answers /events: the seconds so far, then a report each second, as server-sent events. The first report has all
 * exchanges that ended badly, later ones the latest.
 */
function stream(parts: Serving, req: IncomingMessage, res: ServerResponse): void {
  const { streams } = parts;
  if (streams.open >= streams.most) {
    return send(
      res,
      503,
      ["Content-Type", "text/plain; charset=utf-8", "Retry-After", "5"],
      "too many connections follow /events already\n",
    );
  }
  res.writeHead(200, ["Content-Type", "text/event-stream", ...COMMON]);
  if (req.method === "HEAD") return void res.end();
  const next = (endings?: number): string => {
    const report = parts.report();
    const tunnels = report.tunnels.slice(-MAX_TUNNELS_STREAMED);
    const endedBadly = report.endedBadly.slice(0, endings);
    return `data: ${JSON.stringify({ ...report, ready: readiness(report), tunnels, endedBadly })}\n\n`;
  };
  res.write(`event: seconds\ndata: ${JSON.stringify(parts.history.seconds)}\n\n${next()}`);
  streams.open += 1;
  res.once("close", () => (streams.open -= 1));
  // While a reader takes nothing, reports are skipped, not buffered.
  const push = (): void => void (res.writableNeedDrain || res.write(next(MAX_ENDINGS_STREAMED)));
  res.once("close", parts.history.follow(push));
}
