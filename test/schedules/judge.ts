// Judges a play: every exchange and tunnel, by what both ends sent and received, and by the proxy's account of it.
// Pure. Each finding is a sentence; none means that the proxy was right.

import { isBodiless, muxPath } from "./bytes.ts";
import {
  code,
  isComplete,
  isDelivered,
  isExcused,
  isLate,
  isUntroubled,
  isWhole,
  seen,
  sentAt,
  type Case,
} from "./facts.ts";
import { judgeAccount, short } from "./judge-account.ts";
import { judgeTunnel } from "./judge-tunnel.ts";
import { judgeArrivals } from "./judge-upstream.ts";
import { DRAIN_MS, LIMIT_MS, type Account } from "./lane.ts";
import { answersOf, type Played, type PlayedClient } from "./played.ts";
import { statusOf, valuesOf, type ReadMessage } from "./reader.ts";

/** Judges all of it. */
export function judge(played: Played): string[] {
  const findings = [...played.findings];
  const known = new Set<Account>();
  for (const client of played.clients) findings.push(...judgeClient(played, client, known));
  for (const exchange of played.exchanges) findings.push(...judgeArrivals(exchange, played));
  const others = played.accounts.filter((one) => !known.has(one));
  for (const one of others) {
    // A head that was not complete has no path.
    if (one.path === "" && one.method === "") continue;
    findings.push(`an account of what nobody asked, or a second one: ${short(one)}`);
  }
  return findings;
}

function judgeClient(played: Played, client: PlayedClient, known: Set<Account>): string[] {
  const findings: string[] = [];
  const { answers, interims, end, wrong } = answersOf(client);
  const n = played.clients.indexOf(client);
  const say = (text: string): void => void findings.push(`client ${n}: ${text}`);
  if (wrong !== undefined) say(`it got what is no answer: ${wrong}`);
  const all = played.exchanges.filter((one) => one.client === n);
  if (answers.length > all.length) say(`it got ${answers.length} answers to ${all.length} requests`);
  let untroubled = true;
  let behindLast = false;
  for (const exchange of all) {
    const { index, tag } = exchange;
    const request = client.requests[index];
    const path = exchange.spec.request.upgrade === "mux" ? muxPath(tag) : `/${tag}`;
    const account = played.accounts.find((one) => one.path === path);
    if (account) known.add(account);
    const answer = answers[index];
    untroubled &&= isUntroubled(exchange);
    const one: Case = {
      played,
      client,
      exchange,
      answer,
      interims: interims[index] ?? [],
      account,
      askedAt: sentAt(client, (request?.from ?? 0) + 1),
      askedBy: sentAt(client, request?.end ?? 0),
      askedTurn: client.log.find(({ upTo }) => upTo >= (request?.end ?? 0))?.turn ?? Infinity,
      // Of one that did not read for a while, node drops with a RST what had come before it.
      innocent: client.fault === "none" && !(client.ended === "rst" && client.faultAt !== Infinity),
      untroubled,
      behindLast,
    };
    for (const finding of judgeCase(one)) say(`request ${index}: ${finding}`);
    if (answer && statusOf(answer) === 101) {
      for (const finding of judgeTunnel(one, client.received.slice(end))) say(`tunnel: ${finding}`);
    }
    if (!answer || !answer.complete || valuesOf(answer.fields, "connection").includes("close")) behindLast = true;
  }
  return findings;
}

function judgeCase(one: Case): string[] {
  const { account, answer, exchange, client, played } = one;
  const findings = judgeAccount(one);
  const last = exchange.arrivals.at(-1);
  const late = isLate(played);
  if (answer) findings.push(...(code(answer) === undefined ? judgeAnswer(one, answer) : judgeRefusal(one, answer)));
  const begun = exchange.arrivals.length > 0;
  if (begun && one.askedAt > client.endedAt) findings.push("it was sent behind our FIN, and begun");
  if (!one.innocent || client.ended === "refused") return findings;
  const asked = one.askedBy !== Infinity;
  const whole = answer !== undefined && isWhole(one, answer);
  if (
    last &&
    last.completeAt !== Infinity &&
    isDelivered(last, exchange.answer.text.length) &&
    last.wholeAt < played.killedAt &&
    !(exchange.answer.untilClose && played.killedAt !== Infinity) &&
    // An event stream is ended when we drain.
    !(exchange.spec.answer.events && played.drainedAt !== Infinity) &&
    !whole &&
    !late
  ) {
    findings.push(
      `it was done and answered (${exchange.answer.text.length} bytes), and its client has ${seen(answer)}`,
    );
  }
  if (isOwedInDrain(one) && !whole && !late)
    findings.push(`it was asked before the drain, and its client has ${seen(answer)}`);
  if (played.drainedAt !== Infinity || one.behindLast || !asked || late) return findings;
  // A body that only the end completes is cut by a RST, which may come before our client has read what was in front.
  const resetBehind = exchange.spec.request.version === "1.0" && client.ended === "rst" && account !== undefined;
  if (!answer && played.killedAt === Infinity && !resetBehind)
    findings.push(`it was asked and has no answer (${client.ended})`);
  if (one.untroubled && played.killedAt === Infinity && !whole && !isExcused(one)) {
    findings.push(`nobody did anything wrong, and its client has ${seen(answer)}`);
  }
  if (whole && exchange.spec.request.version === "1.1" && one.untroubled) {
    const said = exchange.spec.answer.interims.join();
    if (one.interims.join() !== said) findings.push(`interim answers ${one.interims.join()} of ${said}`);
  }
  return findings;
}

/** So many turns of the event loop before, what a client has sent was read; and a drain still has time for it. */
const READ_TURNS = 3;
const IN_TIME_MS = 0.6 * DRAIN_MS;

/** Was it asked so long before the drain that it has to be answered in it? */
function isOwedInDrain(one: Case): boolean {
  const { played, client, exchange, untroubled, behindLast, askedTurn } = one;
  const { request, answer } = exchange.spec;
  if (played.drainedTurn === Infinity || client.ended === "refused") return false;
  if (askedTurn + READ_TURNS > played.drainedTurn || played.ms > IN_TIME_MS) return false;
  return untroubled && !behindLast && !isExcused(one) && !answer.events && request.upgrade === "none";
}

function judgeAnswer(one: Case, answer: ReadMessage): string[] {
  const { exchange, client } = one;
  const { tag, spec, arrivals } = exchange;
  const of = valuesOf(answer.fields, "x-of").join();
  if (of !== tag) return [`it was answered by ${JSON.stringify(of)}: ${seen(answer)}`];
  const findings: string[] = [];
  const status = spec.answer.switches ? 101 : spec.answer.status;
  if (statusOf(answer) !== status) findings.push(`status ${statusOf(answer)}, not ${status}`);
  if (!exchange.answer.body.startsWith(answer.body))
    findings.push(`its body is not what was sent: ${JSON.stringify(answer.body.slice(0, 100))}`);
  const said = arrivals.some(({ wholeAt }) => wholeAt !== Infinity);
  // A client that knows no chunks sees the end of the connection only.
  // Nothing but its end says that such an answer is whole, wherever its upstream ends it.
  const endsAnywhere =
    exchange.answer.untilClose && arrivals.some(({ fault }) => ["fin", "close", "leave"].includes(fault));
  if (isComplete(client, answer) && one.innocent && !endsAnywhere) {
    if (answer.body !== exchange.answer.body)
      findings.push(`it looks complete with ${answer.body.length} of ${exchange.answer.body.length} bytes`);
    else if (!said) findings.push("it looks complete, and was not");
    const wants =
      spec.answer.trailers &&
      !spec.answer.switches &&
      spec.answer.framing === "chunked" &&
      !isBodiless(spec.request, spec.answer) &&
      spec.request.version === "1.1";
    if (wants && valuesOf(answer.trailers, "x-tail").join() !== tag) findings.push("its trailers are gone");
  }
  return findings;
}

/** Has this refusal a reason? */
function judgeRefusal(one: Case, answer: ReadMessage): string[] {
  const { exchange, played, innocent } = one;
  const status = statusOf(answer);
  const what = code(answer);
  const findings: string[] = [];
  if (!answer.complete && exchange.spec.request.method !== "HEAD" && innocent && played.drainedAt === Infinity)
    findings.push(`a refusal that is not complete: ${seen(answer)}`);
  if (answer.complete && answer.body !== "" && !answer.body.startsWith('{"error":'))
    findings.push(`a refusal that says ${JSON.stringify(answer.body.slice(0, 60))}`);
  const killed = played.killedAt !== Infinity;
  const drained = played.drainedAt !== Infinity;
  const reasons: Record<string, boolean> = {
    upstream_reset: killed || !one.untroubled || isExcused(one),
    upstream_bad_response: killed || !one.untroubled || isExcused(one),
    upstream_unavailable: killed || isLate(played),
    upstream_timeout: played.ms > LIMIT_MS * 0.9,
    draining: drained,
    request_timeout: (!innocent || isLate(played)) && played.ms > LIMIT_MS * 0.9,
    bad_request: !innocent || drained,
  };
  if (what === undefined || reasons[what] !== true) findings.push(`refused with ${status} ${what} without a reason`);
  return findings;
}
