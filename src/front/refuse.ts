// Writes all error answers: to a response, or to a bare socket that has no response object.
// Called by proxy/gate.ts and listener.ts. Never includes system messages, stacks or upstream addresses.

import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { errorPage, type Away } from "./error-page.ts";
import type { Failure } from "../core/errors.ts";
import { acceptsOnlyEvents, refusedStream } from "../core/event-source.ts";
import { linger } from "../core/sockets.ts";

// Statuses after which the connection is closed: the start of the next request is not known, or must not be trusted.
const CLOSES = new Set([400, 405, 408, 431, 508]);
const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";
const RETRY_AFTER_SECONDS = "1";
const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'self'";

function jsonOf(failure: Failure, id: string): string {
  const { code, status, upstream, attempts, why } = failure;
  // `why.expected` is only logged: it may name hosts of this machine.
  const remedy = why?.option === undefined ? "" : ` Set ${why.option} to allow it.`;
  const message = why ? `${failure.message} Received: ${why.seen}.${remedy}` : failure.message;
  return `${JSON.stringify({ error: { code, status, message, upstream, attempts, id } })}\n`;
}

function fieldsOf(failure: Failure, type: string, body: string): string[] {
  const fields = ["Content-Type", type, "Content-Length", String(Buffer.byteLength(body))];
  // X-Single-Port-Error tells the waiting error page that the answer is not the upstream's.
  fields.push("Cache-Control", "no-store", "X-Single-Port-Error", failure.code);
  if (failure.status === 503) fields.push("Retry-After", RETRY_AFTER_SECONDS);
  if (failure.status === 405) fields.push("Allow", METHODS);
  return fields;
}

/**
 * Is this a page load in a browser? Browsers send Sec-Fetch-Mode: navigate (Fetch Metadata); for older ones the Accept
 * field decides. Only GET: a form that is sent by POST is better held than refused.
 */
export function isNavigation({ method, headers }: IncomingMessage): boolean {
  if (method !== "GET") return false;
  const mode = headers["sec-fetch-mode"];
  return mode === undefined ? /\btext\/html\b/i.test(headers.accept ?? "") : mode === "navigate";
}

/** Does the client accept HTML? All others get JSON. */
function wantsPage(req: IncomingMessage): boolean {
  return /\btext\/html\b/i.test(req.headers.accept ?? "") && req.headers.upgrade === undefined;
}

/**
 * Answers a request with a failure. The connection stays open, except after the statuses in CLOSES.
 *
 * @param away since when the upstream cannot be reached; undefined when it can be.
 */
export function refuse(res: ServerResponse, failure: Failure, id: string, away?: Away): void {
  const { req } = res;
  // The body is read and discarded at once: node would buffer it until the client has taken the answer.
  req.resume();
  if (failure.status >= 500 && failure.status !== 508 && acceptsOnlyEvents(req)) return refuseStream(res, failure);
  const page = wantsPage(req);
  const repeatable = req.method === "GET" || req.method === "HEAD";
  const body = page ? errorPage(failure, { id, away, repeatable }) : jsonOf(failure, id);
  const fields = fieldsOf(failure, page ? "text/html; charset=utf-8" : "application/json", body);
  fields.push("Vary", "Accept");
  if (page) fields.push("Content-Security-Policy", PAGE_POLICY);
  if (CLOSES.has(failure.status)) res.shouldKeepAlive = false;
  // With an explicit reason phrase: the relay may have set an upstream's on the response before.
  res.writeHead(failure.status, STATUS_CODES[failure.status], fields);
  res.end(body);
}

/**
 * Answers OPTIONS or TRACE with `Max-Forwards: 0`, which must not be forwarded (RFC 9110 7.6.2).
 *
 * @param trace the request to send back; undefined for OPTIONS.
 */
export function answerSelf(res: ServerResponse, trace: string | undefined): void {
  const content = Buffer.from(trace ?? "", "latin1");
  const fields = ["Cache-Control", "no-store", "Content-Length", String(content.length)];
  if (trace === undefined) fields.push("Allow", METHODS);
  else fields.push("Content-Type", "message/http", "X-Content-Type-Options", "nosniff");
  res.writeHead(200, fields);
  res.end(content);
}

/**
 * Answers an EventSource with a 200 that ends, so that it reconnects (core/event-source.ts). The log and the metrics
 * have the failure's own status.
 */
function refuseStream(res: ServerResponse, failure: Failure): void {
  const body = refusedStream(failure.code, failure.message);
  res.writeHead(200, STATUS_CODES[200], [...fieldsOf(failure, "text/event-stream", body), "Vary", "Accept"]);
  res.end(body);
}

/** Answers on a socket that has no response object, and closes it. */
export function refuseSocket(socket: Socket, failure: Failure, id: string): void {
  if (socket.writable) {
    const body = jsonOf(failure, id);
    const fields = [...fieldsOf(failure, "application/json", body), "Connection", "close"];
    let head = `HTTP/1.1 ${failure.status} ${STATUS_CODES[failure.status]}\r\nDate: ${new Date().toUTCString()}\r\n`;
    for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
    socket.write(`${head}\r\n${body}`);
  }
  linger(socket);
}
