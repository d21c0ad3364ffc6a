// Judges what the upstream got: each request at most as often as its method allows, complete or visibly cut. Pure.

import { REPEATABLE } from "./facts.ts";
import type { Arrival } from "./upstream-server.ts";
import type { Played, PlayedExchange } from "./played.ts";
import { valuesOf } from "./reader.ts";

const MAX_ATTEMPTS = 3;

/** Judges all arrivals of a request. */
export function judgeArrivals(exchange: PlayedExchange, played: Played): string[] {
  const { arrivals, spec, tag } = exchange;
  const { request } = spec;
  const findings: string[] = [];
  const say = (text: string): void => void findings.push(`at the upstream, ${tag}: ${text}`);
  const repeatable = REPEATABLE.has(request.method) || request.extra === "idempotent";
  if (arrivals.length > (repeatable ? MAX_ATTEMPTS : 1)) say(`${request.method} came ${arrivals.length} times`);
  const first = arrivals[0];
  for (const arrival of arrivals.slice(1)) {
    const before = arrivals[arrivals.indexOf(arrival) - 1];
    // What came on a connection that was not read from was seen late: it may have been sent before.
    const wasSeen = before && !arrival.on.paused && !before.on.paused && isFirst(before) && !isLostByWriting(before);
    if (wasSeen && before.saidAt < arrival.at)
      say(`it came again although ${before.sent} bytes of an answer had been sent`);
  }
  for (const arrival of repeatable ? [] : arrivals)
    if (!isPromised(arrival, played))
      say(`${request.method} came on a used connection, and nobody had promised to keep it`);
  const client = played.clients[exchange.client];
  const placed = client?.requests[exchange.index];
  const wanted = placed?.body ?? "";
  for (const arrival of arrivals) {
    const { message } = arrival;
    const [method] = message.line.split(" ");
    if (method !== request.method) say(`it came as ${message.line}`);
    if (!wanted.startsWith(message.body))
      say(`its body is not what was sent: ${JSON.stringify(message.body.slice(0, 100))}`);
    if (message.complete && message.body !== wanted)
      say(`it looks complete with ${message.body.length} of ${wanted.length} bytes`);
    const sent = (client?.sent ?? 0) >= (placed?.end ?? 0);
    if (message.complete && !sent) say("it looks complete, and was not");
    if (
      message.complete &&
      request.extra === "trailers" &&
      request.framing === "chunked" &&
      valuesOf(message.trailers, "x-end").join() !== tag
    )
      say("its trailers are gone");
  }
  const before = played.exchanges.find((one) => one.client === exchange.client && one.index === exchange.index - 1);
  const accountBefore = before && played.accounts.find((one) => one.path === `/${before.tag}`);
  if (first && before && !(accountBefore && accountBefore.at < first.at))
    say("it was begun before the one in front of it was over");
  return findings;
}

/** Is the connection a fresh one, or one that its upstream promised to keep with its last answer? */
function isPromised(arrival: Arrival, { exchanges }: Played): boolean {
  const before = arrival.on.arrivals[arrival.on.arrivals.indexOf(arrival) - 1];
  return !before || exchanges.find(({ tag }) => tag === before.tag)?.spec.answer.keeps === "hint";
}

/**
 * May its answer be lost to the proxy? A write of the rest of a request that meets a RST fails, and what was not read
 * before is gone.
 */
function isLostByWriting({ fault, message }: Arrival): boolean {
  return (fault === "rst" || fault === "close") && !message.complete;
}

/** Was it the first on its connection? Bytes in front of a later answer may be left over from an earlier one. */
function isFirst(arrival: Arrival): boolean {
  return arrival.on.arrivals[0] === arrival;
}
