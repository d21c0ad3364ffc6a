// Describes how an exchange ended, in one sentence, for the log, the live page and `single-port status`. Pure.

import type { FailureCode, How } from "../core/errors.ts";
import type { Outcome, Phase } from "../core/outcome.ts";

/** A duration: `950 ms`, `12.3 s`, `5 min`, `3.2 h`. */
export function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}

/** Error codes of a dial, as a sentence about the upstream. */
const DIALS: Record<string, string> = {
  ECONNREFUSED: "refuses connections",
  ENOENT: "does not exist",
  EACCES: "does not let this user connect",
  ENOTFOUND: "is an unknown host name",
  EAI_AGAIN: "is a host name that cannot be resolved",
  ETIMEDOUT: "does not accept connections",
  EHOSTUNREACH: "cannot be reached from here",
  ENETUNREACH: "cannot be reached from here",
  ECONNRESET: "resets connections at once",
};

const SHORTAGES = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"]);

/** How many attempts of an exchange had a connection; failed dials do not count. */
function connections({ attempts }: Outcome): number {
  return attempts.filter(({ phase }) => phase !== "connect").length;
}

function times(count: number): string {
  return count > 1 ? `, ${count} times in a row` : "";
}

function gaveUp(outcome: Outcome, target: string): string {
  if (outcome.attempts.length === 0) return `did not wait: ${target} is known to be down`;
  const code = outcome.attempts.findLast(({ phase }) => phase === "connect")?.code;
  const does = code === undefined ? "cannot be reached" : (DIALS[code] ?? `cannot be connected to (${code})`);
  return `gave up after ${elapsed(outcome.ms)}: ${target} ${does}`;
}

function tooMany({ attempts, route, method }: Outcome): string {
  const code = attempts.at(-1)?.code;
  if (code !== undefined && SHORTAGES.has(code)) return `refused: this proxy has no descriptor or port left (${code})`;
  if (route !== "") return "refused: too many requests wait already (--max-held)";
  return method === ""
    ? "refused: too many connections are open (--max-connections)"
    : "refused: too many tunnels are open (--max-tunnels)";
}

const BEFORE_ANSWER: Partial<Record<How, string>> = {
  fin: "closed the connection before it responded",
  rst: "reset the connection before it responded",
  timeout: "was silent for too long before it responded",
};

/** @param what the sentence to use when the outcome has no explanation. */
function notLetIn(what: string): (outcome: Outcome) => string {
  return ({ why }) => {
    if (!why) return `refused: ${what}`;
    const remedy = why.option === undefined ? "" : `; to allow it: ${why.option}`;
    return `refused: received ${why.seen}, accepted is ${why.expected}${remedy}`;
  };
}

/** The sentence for each error answer of this proxy. */
const REFUSALS: Record<FailureCode, (outcome: Outcome, target: string) => string> = {
  bad_request: notLetIn("the request is not valid HTTP, or uses something that is not supported"),
  origin_not_allowed: notLetIn("pages of this origin may not open the terminal (--allow-origin)"),
  host_not_allowed: notLetIn("pages may not open the terminal by this host (--allow-host)"),
  no_mux: () => "refused: the client asked for the terminal mux, and no --mux is given",
  method_not_allowed: ({ method }) => `refused: the method ${method || "of the request"} is not supported`,
  request_timeout: ({ ms }) =>
    `refused${ms > 0 ? ` after ${elapsed(ms)}` : ""}: the client did not send its whole request in time`,
  header_too_large: () => "refused: the request headers are larger than --max-header-size",
  upstream_reset: (outcome, target) =>
    `${target} ${BEFORE_ANSWER[outcome.how] ?? "closed the connection before it responded"}${times(connections(outcome))}`,
  upstream_bad_response: ({ how }, target) =>
    how === "protocol"
      ? `${target} sent a response that is not valid HTTP`
      : `${target} closed the connection within its response headers`,
  upstream_header_too_large: (_outcome, target) =>
    `refused: the response headers of ${target} are larger than --max-header-size`,
  upstream_unavailable: gaveUp,
  too_many: tooMany,
  draining: () => "refused: this proxy is shutting down",
  upstream_timeout: ({ ms, phase }, target) =>
    `${target} accepted the connection, but ${phase === "request_body" ? "did not read the request" : "did not respond"} for ${elapsed(ms)}`,
  loop_detected: () => "refused: the request has passed through this proxy before (does --http lead back to it?)",
};

const DOES: Record<How, Record<"client" | "upstream", string>> = {
  done: { client: "closed the tunnel", upstream: "closed the tunnel" },
  fin: { client: "closed the connection", upstream: "closed the connection" },
  rst: { client: "reset the connection", upstream: "reset the connection" },
  timeout: { client: "took no byte for too long", upstream: "was silent for too long" },
  no_pong: { client: "did not answer a ping", upstream: "did not answer a ping" },
  protocol: { client: "sent bytes that are not valid HTTP", upstream: "sent a body with invalid framing" },
  drain: { client: "closed the connection", upstream: "closed the connection" },
  limit: { client: "was refused", upstream: "was refused" },
};

const WHERE: Record<Phase, string> = {
  connect: " before the upstream was connected",
  request_body: " during the request body",
  waiting: " before the response",
  response_body: " during the response body",
  tunnel: "",
  head: " within its request headers",
};

/**
 * The sentence for an outcome: `gave up after 10.0 s: 127.0.0.1:4000 refuses connections`.
 *
 * @param target the upstream's address, or its name where that is not known.
 */
export function whatHappened(outcome: Outcome, target: string): string {
  const { kind, by, how, status, error, phase, ms } = outcome;
  if (error !== undefined) return REFUSALS[error]?.(outcome, target) ?? `refused: ${error}`;
  if (how === "done" && kind === "request") return `answered after ${elapsed(ms)}`;
  if (by === "proxy" && how === "limit" && phase === "response_body") {
    return `cut off after ${elapsed(ms)}: the response trailers of ${target} are larger than --max-header-size`;
  }
  if (by === "proxy") {
    if (phase === "head")
      return "not forwarded: the request came after this proxy had closed its side of the connection";
    const done = how === "drain" ? "closed by the shutdown of this proxy" : `ended by this proxy (${how})`;
    return `${done} after ${elapsed(ms)}`;
  }
  const who = by === "client" ? "the client" : target;
  const bare = kind === "tunnel" && how === "fin" ? " without a Close frame" : "";
  const where = by === "upstream" && phase === "response_body" ? " during the response body" : WHERE[phase];
  // No duration is known for a connection that broke before its head was complete.
  const after = phase === "head" || (status === 0 && ms === 0) ? "" : ` after ${elapsed(ms)}`;
  return `${who} ${DOES[how][by]}${bare}${where}${after}`;
}
