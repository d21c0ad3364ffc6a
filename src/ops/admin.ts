// For operators: live, ready, status, metrics and the live page, on --admin and on the control socket (SPEC 8.3).
// Made by daemon.ts. Never on the public port: behind a tunnel everybody comes from loopback.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { cut, guard } from "../core/sockets.ts";
import { readiness } from "./readiness.ts";
import type { Report } from "./report.ts";

/** What is shown, and what may be asked for. */
export interface AdminParts {
  report(): Report;
  metrics(): Promise<{ type: string; body: string }>;
  /** The live page. */
  page(): Promise<string>;
  /** Ends the proxy politely; only on the control socket, where only its user comes. */
  drain?: () => void;
}

/** Between two reports on /events. */
const EVENTS_EVERY_MS = 1000;

/** An admin server, not listening yet. */
export function createAdmin(parts: AdminParts): Server {
  const server = createServer({ keepAliveTimeout: 5000, headersTimeout: 10_000 }, (req, res) => {
    answer(parts, req, res).catch(() => cut(req.socket));
  });
  server.prependListener("connection", guard);
  server.on("clientError", (_error, socket) => cut(socket as Parameters<typeof cut>[0]));
  return server;
}

async function answer(parts: AdminParts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const path = (req.url ?? "/").replace(/\?.*$/s, "");
  if (req.method === "POST" && path === "/drain" && parts.drain) {
    send(res, 202, "text/plain", "draining\n");
    return parts.drain();
  }
  if (req.method !== "GET" && req.method !== "HEAD") return send(res, 405, "text/plain", "only GET and HEAD\n");
  switch (path) {
    case "/live":
      return send(res, 200, "text/plain", "live\n");
    case "/ready": {
      const now = readiness(parts.report());
      return send(res, now.ready ? 200 : 503, "application/json", `${JSON.stringify(now)}\n`);
    }
    case "/status":
      return send(res, 200, "application/json", `${JSON.stringify(parts.report())}\n`);
    case "/metrics": {
      const { type, body } = await parts.metrics();
      return send(res, 200, type, body);
    }
    case "/":
      return send(res, 200, "text/html; charset=utf-8", await parts.page());
    case "/events":
      return stream(parts, res);
    default:
      return send(res, 404, "text/plain", "here are /live, /ready, /status, /metrics, /events and /\n");
  }
}

function send(res: ServerResponse, status: number, type: string, body: string): void {
  res.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
  });
  res.end(body);
}

/** A report each second, as server-sent events. */
function stream(parts: AdminParts, res: ServerResponse): void {
  res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const push = (): void => {
    // A reader that does not read gets the next one it can take, not all it has missed.
    if (!res.writableNeedDrain) res.write(`data: ${JSON.stringify(parts.report())}\n\n`);
  };
  push();
  const timer = setInterval(push, EVENTS_EVERY_MS);
  timer.unref();
  res.once("close", () => clearInterval(timer));
}
