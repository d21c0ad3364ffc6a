// The table of failures: each code's HTTP status and the sentence that the client gets; and what system errors mean.
// Raised all over src; written to clients by front/refuse.ts. Pure.

/** The code of a failure: stable, since clients and operators compare it. */
export type FailureCode =
  | "bad_request"
  | "origin_not_allowed"
  | "host_not_allowed"
  | "no_mux"
  | "method_not_allowed"
  | "request_timeout"
  | "header_too_large"
  | "upstream_reset"
  | "upstream_bad_response"
  | "upstream_header_too_large"
  | "upstream_unavailable"
  | "too_many"
  | "draining"
  | "upstream_timeout"
  | "loop_detected";

const failures: Record<FailureCode, readonly [status: number, message: string]> = {
  bad_request: [400, "The request is not valid HTTP, or uses something that this server does not support."],
  origin_not_allowed: [403, "Pages of this origin may not open the terminal."],
  host_not_allowed: [403, "Pages may not open the terminal under this host name."],
  no_mux: [404, "There is no terminal mux behind this server (--mux)."],
  method_not_allowed: [405, "This method is not allowed here."],
  request_timeout: [408, "The request took too long to arrive."],
  header_too_large: [431, "The header fields of the request are too large."],
  upstream_reset: [502, "The upstream server closed the connection before it responded."],
  upstream_bad_response: [502, "The upstream server sent a response that is not valid HTTP."],
  upstream_header_too_large: [
    502,
    "The response headers of the upstream server are larger than this server allows (--max-header-size).",
  ],
  upstream_unavailable: [503, "The upstream server cannot be reached at the moment."],
  too_many: [503, "Too many connections at the moment."],
  draining: [503, "This server is shutting down."],
  upstream_timeout: [504, "The upstream server took too long to respond."],
  loop_detected: [508, "The request has passed through this proxy before: it runs in a loop."],
};

/** Why a request was refused with 400 or 403: for its user (in the answer) and for the operator (in the log). */
export interface Why {
  /** What the request said: `origin https://a.example`. */
  seen: string;
  /** What is accepted. */
  expected: string;
  /** The option that would accept what was seen; undefined when none would. */
  option: string | undefined;
}

/** More of what a request said, in characters, is not repeated. */
const MAX_SEEN = 200;

/** The explanation of a request that no option would let in. */
export function whyInvalid(seen: string, expected: string): Why {
  return { seen: seen.length > MAX_SEEN ? `${seen.slice(0, MAX_SEEN)}…` : seen, expected, option: undefined };
}

/** One refusal: what the client is told, which upstream it was for, and after how many attempts. */
export class Failure extends Error {
  readonly code: FailureCode;
  readonly status: number;
  readonly upstream: string | undefined;
  readonly attempts: number;
  readonly why: Why | undefined;

  constructor(code: FailureCode, about: { upstream?: string; attempts?: number; why?: Why | undefined } = {}) {
    super(failures[code][1]);
    this.code = code;
    this.status = failures[code][0];
    this.upstream = about.upstream;
    this.attempts = about.attempts ?? 0;
    this.why = about.why;
  }
}

/** Which side ended an exchange. */
export type Side = "client" | "upstream" | "proxy";

/**
 * How an exchange ended. `done`: completely (a tunnel: after a Close frame). `fin`: a FIN before that. `rst`: a reset.
 * `timeout`: a time limit. `no_pong`: no answer to a ping, so the peer is half-open. `drain`: our shutdown. `limit`: a
 * limit on number or size. `protocol`: bytes that are not valid HTTP.
 */
export type How = "done" | "fin" | "rst" | "timeout" | "no_pong" | "drain" | "limit" | "protocol";

/** The system's code of an error (`ECONNRESET`), or its name where it has none. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}

/** How a socket error ended its connection. */
export function howOf(error: unknown): How {
  const code = codeOf(error);
  if (code.startsWith("HPE_")) return "protocol";
  // ETIMEDOUT: TCP keepalive or retransmission gave up, because the peer acknowledged nothing any more.
  return code === "ETIMEDOUT" || code === "EHOSTUNREACH" || code === "ENETUNREACH" ? "timeout" : "rst";
}

/**
 * Why a connection could not be made. `ours`: this machine lacks a resource, which says nothing about the peer. `busy`:
 * the peer is there, but its accept queue is full. `gone`: the peer cannot be reached.
 */
export type Fault = "ours" | "busy" | "gone";

/**
 * What socket(2) and connect(2) return when this machine lacks descriptors (EMFILE, ENFILE), memory (ENOBUFS, ENOMEM),
 * local ports (EADDRNOTAVAIL, EADDRINUSE) or, over TCP, routing cache entries (EAGAIN). EAI_MEMORY is getaddrinfo's
 * ENOMEM. EINTR (a signal came) says nothing about the peer either.
 */
const OURS = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
  "EADDRINUSE",
  "EAGAIN",
  "EAI_MEMORY",
  "EINTR",
]);

/**
 * Why a connection could not be made, by the error code. An unknown code counts as `gone`, so the upstream's link goes
 * down and requests are held.
 *
 * @param unix is the address a unix socket? There EAGAIN means a full accept queue. Over TCP a full queue shows as
 * ETIMEDOUT, which looks the same as a host that is gone.
 */
export function faultOf(code: string, unix: boolean): Fault {
  if (unix && code === "EAGAIN") return "busy";
  return OURS.has(code) ? "ours" : "gone";
}

const SOCKET_CODES =
  /^(ECONN|EPIPE$|ETIMEDOUT$|EHOST|ENET|EADDRNOTAVAIL$|ENOTCONN$|ESHUTDOWN$|ERR_STREAM_|HPE_|ERR_SOCKET_CLOSED)/;

/** Is this an error that sockets raise? One of those, uncaught, is logged and does not end the process. */
export function isSocketError(error: unknown): boolean {
  return SOCKET_CODES.test(codeOf(error));
}
