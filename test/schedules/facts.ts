// Facts about an exchange that all judges use. Pure.

import { LIMIT_MS, type Account } from "./lane.ts";
import type { Arrival } from "./upstream-server.ts";
import type { Played, PlayedClient, PlayedExchange } from "./played.ts";
import { valuesOf, type ReadMessage } from "./reader.ts";

/** The player's own event loop was blocked for this long, in milliseconds: a late peer may be late because of that. */
const LAG_MS = 120;
/** Or the script took this long, on a busy machine. */
const SLOW_MS = 0.6 * LIMIT_MS;

/** Was the play slow, so that time limits were reached that the schedule does not intend? */
export function isLate({ lagMs, scriptMs }: Played): boolean {
  return lagMs > LAG_MS || scriptMs > SLOW_MS;
}

/** Methods that may reach an upstream more than once (RFC 9110 9.2.2). */
export const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** One exchange, with all that is known of it. */
export interface Case {
  played: Played;
  client: PlayedClient;
  exchange: PlayedExchange;
  /** The answer that the client got for it; undefined for none. */
  answer: ReadMessage | undefined;
  interims: number[];
  account: Account | undefined;
  /** Had the client sent all of it? When it began to, and when it had. */
  askedAt: number;
  askedBy: number;
  /** In which turn of the script it had. */
  askedTurn: number;
  /** Had the client no fault before its answer had come? */
  innocent: boolean;
  /** Had the upstream no fault, in this exchange and earlier ones of the connection? */
  untroubled: boolean;
  /** Did an earlier answer say `Connection: close`, or not end? */
  behindLast: boolean;
}

/** The code of an answer of the proxy itself. */
export const code = ({ fields }: ReadMessage): string | undefined => valuesOf(fields, "x-single-port-error")[0];

/** When a client had sent so many bytes; Infinity if it has not. */
export function sentAt(client: PlayedClient, offset: number): number {
  return client.log.find(({ upTo }) => upTo >= offset)?.at ?? Infinity;
}

/**
 * Did the upstream send a whole valid answer, at each attempt? A fault behind that does not matter to this exchange.
 */
export function isUntroubled({ spec, answer, arrivals }: PlayedExchange): boolean {
  const { kind } = spec.fault;
  const isHarmless = kind === "none" || kind === "pause" || kind === "nap";
  const isBehind = arrivals.length > 0 && arrivals.every((one) => isDelivered(one, answer.text.length));
  if ((!isHarmless && !isBehind) || answer.wholeAt === Infinity) return false;
  return arrivals.length > 0 || spec.answer.flaw === "none";
}

/** Bytes up to this size leave at once, in TCP's window. A RST discards bytes that have not left yet. */
export const WINDOW = 60_000;

/** Did its upstream do nothing wrong before all of an answer of so many bytes was on its way? */
export function isDelivered({ wholeAt, faultAt, soiledAt, fault }: Arrival, bytes: number): boolean {
  if (wholeAt === Infinity || wholeAt > Math.min(faultAt, soiledAt)) return false;
  return fault === "none" || fault === "fin" || bytes < WINDOW;
}

/** A POST on a connection that its upstream broke, or put bytes on, fails with it. */
export function isExcused({ exchange, played }: Case): boolean {
  const { method } = exchange.spec.request;
  if (REPEATABLE.has(method) && exchange.spec.request.framing === "none") return false;
  return played.exchanges.some(({ spec }) => spec.fault.kind !== "none" || spec.answer.flaw !== "none");
}

/** An answer in words. */
export function seen(answer: ReadMessage | undefined): string {
  if (!answer) return "nothing";
  return `${answer.line}${code(answer) === undefined ? "" : ` (${code(answer)})`}, ${answer.body.length} bytes${answer.complete ? "" : ", not complete"}`;
}

/** Is the answer complete as its client sees it? */
export function isComplete(client: PlayedClient, answer: ReadMessage): boolean {
  return answer.complete || (answer.untilClose && client.ended === "fin");
}

/** Has the client all that its upstream has said? */
export function isWhole({ client, exchange }: Case, answer: ReadMessage): boolean {
  // After a FIN of this side it is not known how the other side ended.
  const complete = isComplete(client, answer) || (answer.untilClose && client.ended === "unclear");
  return code(answer) === undefined && complete && answer.body === exchange.answer.body;
}
