// What can go wrong, in one table: each failure's status and the words a client gets.
// Every room raises these; refuse.ts says them. Nothing here knows a socket.

/** The code of a failure: stable, since clients and operators compare it. */
export type FailureCode =
  | "bad_request"
  | "origin_not_allowed"
  | "host_not_allowed"
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
  bad_request: [400, "The request is not valid HTTP, or asks for something this server does not do."],
  origin_not_allowed: [403, "Pages of this origin may not open the terminal."],
  host_not_allowed: [403, "Pages may not open the terminal by this name of the server."],
  method_not_allowed: [405, "This method is not allowed here."],
  request_timeout: [408, "The request took too long to arrive."],
  header_too_large: [431, "The header fields of the request are too large."],
  upstream_reset: [502, "The server behind this one closed the connection before it answered."],
  upstream_bad_response: [502, "The server behind this one sent an answer that is not valid HTTP."],
  upstream_header_too_large: [
    502,
    "The header fields of the answer are larger than this server takes (--max-header-size).",
  ],
  upstream_unavailable: [503, "The server behind this one is not there (yet)."],
  too_many: [503, "Too many connections at the moment."],
  draining: [503, "This server is shutting down."],
  upstream_timeout: [504, "The server behind this one took too long to answer."],
  loop_detected: [508, "The request came back to the proxy it had already passed through."],
};

/** Why a client was not let in, for its user and for the operator, who may be the same person. */
export interface Why {
  /** What the request said. */
  seen: string;
  /** What would have been let in. */
  expected: string;
  /** The option that lets in what was seen. */
  option: string;
}

/** One refusal, ready to be said: what the client is told, and for which upstream after how many attempts. */
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
 * How an exchange ended: `done` is the good end, of a tunnel after a Close; `fin` came without it, `rst` is a reset,
 * `timeout` a limit of time, `no_pong` a half-open peer, `drain` our shutdown, `limit` a refusal, `protocol` bytes that
 * are not HTTP.
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
  // ETIMEDOUT: TCP keepalive or retransmission gave up, so nobody answered any more.
  return code === "ETIMEDOUT" || code === "EHOSTUNREACH" || code === "ENETUNREACH" ? "timeout" : "rst";
}

/**
 * By whose fault there is no connection. `ours`: this machine lacks what a connection takes, which says nothing of the
 * peer. `busy`: the peer is there, and has no room for another at the moment. `gone`: nobody can be reached there.
 */
export type Fault = "ours" | "busy" | "gone";

/**
 * What socket(2) and connect(2) say for want of something here: descriptors (EMFILE, ENFILE), memory (ENOBUFS, ENOMEM),
 * local ports (EADDRNOTAVAIL, EADDRINUSE), or, with an address of the internet, routes (EAGAIN). EAI_MEMORY is
 * getaddrinfo's ENOMEM. EINTR is not even a failure.
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
 * Whose fault is it that a connection could not be made, by the code of the failure? Whatever is not known is the
 * peer's: it is held for all the same, and its link then tells.
 *
 * @param unix was it a unix socket? There EAGAIN means that the backlog is full; with TCP it is what ETIMEDOUT tells,
 * late, and nobody can tell that from a host that is gone.
 */
export function faultOf(code: string, unix: boolean): Fault {
  if (unix && code === "EAGAIN") return "busy";
  return OURS.has(code) ? "ours" : "gone";
}

const SOCKET_CODES =
  /^(ECONN|EPIPE$|ETIMEDOUT$|EHOST|ENET|EADDRNOTAVAIL$|ENOTCONN$|ESHUTDOWN$|ERR_STREAM_|HPE_|ERR_SOCKET_CLOSED)/;

/** Is this the kind of error that a socket raises, and so never a reason to end the process? */
export function isSocketError(error: unknown): boolean {
  return SOCKET_CODES.test(codeOf(error));
}
