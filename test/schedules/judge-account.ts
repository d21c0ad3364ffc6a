// Judges the proxy's outcome ("account") of an exchange: does it agree with what was seen on the wire? Pure.

import { code, isComplete, isLate, seen, type Case } from "./facts.ts";
import { LIMIT_MS, type Account } from "./lane.ts";
import type { Arrival } from "./upstream-server.ts";
import type { Played } from "./played.ts";
import { statusOf } from "./reader.ts";

/** An account in a line. */
export function short({ path, status, error, by, how, phase, bytesIn, bytesOut }: Account): string {
  return `${path} ${status} ${error ?? ""} by ${by} ${how} in ${phase}, ${bytesIn} in, ${bytesOut} out`;
}

/** Judges it by what the client has got and the upstream has seen. */
export function judgeAccount(one: Case): string[] {
  const { account, answer, exchange, client, innocent, played } = one;
  const { arrivals } = exchange;
  const findings: string[] = [];
  if (!account) {
    const refusedBare = answer && ["bad_request", "request_timeout", "too_many"].includes(code(answer) ?? "");
    if (arrivals.length > 0 || (answer && !refusedBare)) findings.push("there is no account of it");
    return findings;
  }
  const say = (text: string): void => void findings.push(`${text}; the account: ${short(account)}`);
  if (answer) {
    if (account.status !== statusOf(answer)) say(`its client saw ${seen(answer)}`);
    if ((account.error ?? "") !== (code(answer) ?? "")) say(`its client was told ${code(answer)}`);
  } else if (account.status !== 0 && innocent && client.ended !== "rst") say("its client saw no answer");
  const tunnel = account.kind === "tunnel";
  if (answer && !tunnel && code(answer) === undefined) {
    if (isComplete(client, answer) && innocent && account.bytesOut !== answer.body.length)
      say(`its client saw ${answer.body.length} bytes`);
    if (account.bytesOut < answer.body.length) say(`its client saw ${answer.body.length} bytes`);
  }
  if (answer && code(answer) !== undefined && account.bytesOut !== 0) say("a refusal has no bytes of an answer");
  const last = arrivals.at(-1);
  const wanted = client.requests[exchange.index]?.body.length ?? 0;
  if (!tunnel && account.bytesIn > wanted) say(`its client sent ${wanted} bytes`);
  if (
    !tunnel &&
    last?.completeAt !== undefined &&
    last.completeAt !== Infinity &&
    last.completeAt < account.at &&
    account.bytesIn !== wanted
  )
    say(`its upstream got ${wanted} bytes`);
  findings.push(...judgeBlame(one, account, last));
  if (account.how === "timeout" && played.ms < LIMIT_MS * 0.8 && played.killedAt === Infinity)
    say(`nobody was late in ${Math.round(played.ms)} ms`);
  return findings;
}

/** Does the account name the side that did end the exchange? */
function judgeBlame(
  { client, innocent, played, exchange, untroubled, answer, askedBy }: Case,
  account: Account,
  last: Arrival | undefined,
): string[] {
  const findings: string[] = [];
  const say = (text: string): void => void findings.push(`${text}; the account: ${short(account)}`);
  const quiet = played.drainedAt === Infinity && played.killedAt === Infinity && !isLate(played);
  if (!quiet || account.kind === "tunnel") return findings;
  if (
    account.by === "client" &&
    account.how !== "done" &&
    innocent &&
    account.at < client.endedAt &&
    client.spec.fault.kind === "none"
  ) {
    const inFinale = last !== undefined && last.wholeAt === Infinity;
    if (!inFinale) say("its client did nothing");
  }
  // An upstream that is asked whether it wants the body has to answer that, whether the body comes or not.
  const owesContinue = exchange.spec.request.extra === "expect" && askedBy === Infinity && account.how === "timeout";
  if (
    account.by === "upstream" &&
    account.how !== "done" &&
    !owesContinue &&
    untroubled &&
    exchange.spec.answer.flaw === "none" &&
    !isAnyTroubled(played)
  ) {
    say("its upstream did nothing wrong");
  }
  if (account.how === "done" && innocent && answer && !isComplete(client, answer) && client.ended !== "rst")
    say(`its client has ${seen(answer)}`);
  // What comes behind our FIN is not begun.
  const tooLate = account.phase === "head" && account.status === 0;
  if (account.by === "proxy" && account.how !== "done" && !tooLate) say("the proxy had no reason");
  return findings;
}

function isAnyTroubled({ exchanges }: Played): boolean {
  return exchanges.some(({ spec }) => spec.fault.kind !== "none" || spec.answer.flaw !== "none");
}
