// Judges what was played: everybody who took part, by what both ends sent and saw, and the proxy's account of it.
// Pure. Each finding is a sentence; none means that all is well.

import { bodyOf, frame, frameBytes, isBodiless, muxPath, requestBytes } from "./bytes.ts";
import { DRAIN_MS, LIMIT_MS, type Account, type Arrival } from "./lane.ts";
import { answersOf, type Played, type PlayedClient, type PlayedExchange } from "./played.ts";
import { statusOf, valuesOf, type ReadMessage } from "./reader.ts";

/** Our own event loop stood still for so long: whoever is late may be so because of us. */
const LAG_MS = 120;
/** Or its own script took so long, on a machine that is busy. */
const SLOW_MS = 0.6 * LIMIT_MS;

/** Was everybody late, so that limits were met that a schedule does not mean? */
export function isLate({ lagMs, scriptMs }: Played): boolean {
  return lagMs > LAG_MS || scriptMs > SLOW_MS;
}

const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
const MAX_ATTEMPTS = 3;

/** One exchange, with all that is known of it. */
interface Case {
  played: Played;
  client: PlayedClient;
  exchange: PlayedExchange;
  /** What the client got in its place; undefined for nothing. */
  answer: ReadMessage | undefined;
  interims: number[];
  account: Account | undefined;
  /** Had the client sent all of it? When it began to, and when it had. */
  askedAt: number;
  askedBy: number;
  /** In which turn of the script it had. */
  askedTurn: number;
  /** The client did nothing wrong before its answer had come. */
  innocent: boolean;
  /** Nor did any upstream, to this exchange or an earlier one of the connection. */
  untroubled: boolean;
  /** An earlier answer said that it was the last one, or did not end. */
  behindLast: boolean;
}

const code = ({ fields }: ReadMessage): string | undefined => valuesOf(fields, "x-single-port-error")[0];

function sentAt(client: PlayedClient, offset: number): number {
  return client.log.find(({ upTo }) => upTo >= offset)?.at ?? Infinity;
}

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
      innocent: client.fault === "none",
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

/** Did its upstream say all of a good answer, at each attempt? What it does behind that is no trouble of this one. */
function isUntroubled({ spec, answer, arrivals }: PlayedExchange): boolean {
  const { kind } = spec.fault;
  const isHarmless = kind === "none" || kind === "pause" || kind === "nap";
  const isBehind = arrivals.length > 0 && arrivals.every((one) => isDelivered(one, answer.text.length));
  if ((!isHarmless && !isBehind) || answer.wholeAt === Infinity) return false;
  return arrivals.length > 0 || spec.answer.flaw === "none";
}

/** What fits into the window of a connection is under way as soon as it is sent. A RST throws away what is not. */
const WINDOW = 60_000;

/** Did its upstream do nothing wrong before all of an answer of so many bytes was on its way? */
function isDelivered({ wholeAt, faultAt, fault }: Arrival, bytes: number): boolean {
  if (wholeAt === Infinity || wholeAt > faultAt) return false;
  return fault === "none" || fault === "fin" || bytes < WINDOW;
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

/** A POST on a connection that its upstream broke, or put bytes on, fails with it. */
function isExcused({ exchange, played }: Case): boolean {
  const { method } = exchange.spec.request;
  if (REPEATABLE.has(method) && exchange.spec.request.framing === "none") return false;
  return played.exchanges.some(({ spec }) => spec.fault.kind !== "none" || spec.answer.flaw !== "none");
}

function seen(answer: ReadMessage | undefined): string {
  if (!answer) return "nothing";
  return `${answer.line}${code(answer) === undefined ? "" : ` (${code(answer)})`}, ${answer.body.length} bytes${answer.complete ? "" : ", not complete"}`;
}

/** Is the answer complete as its client sees it? */
function isComplete(client: PlayedClient, answer: ReadMessage): boolean {
  return answer.complete || (answer.untilClose && client.ended === "fin");
}

function isWhole({ client, exchange }: Case, answer: ReadMessage): boolean {
  // Behind our own FIN nobody can tell how the other side ended.
  const complete = isComplete(client, answer) || (answer.untilClose && client.ended === "unclear");
  return code(answer) === undefined && complete && answer.body === exchange.answer.body;
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
  const endsAnywhere = exchange.answer.untilClose && arrivals.some(({ fault }) => fault === "fin" || fault === "close");
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

// -- the upstream's side ---------------------------------------------------------------------------------------------

function judgeArrivals(exchange: PlayedExchange, played: Played): string[] {
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
    if (before && before.saidAt < arrival.at && !arrival.on.paused && !before.on.paused && isFirst(before))
      say(`it came again although ${before.sent} bytes of an answer had been sent`);
  }
  const wanted = requestBytes(request, tag);
  for (const arrival of arrivals) {
    const { message } = arrival;
    const [method] = message.line.split(" ");
    if (method !== request.method) say(`it came as ${message.line}`);
    if (!wanted.body.startsWith(message.body))
      say(`its body is not what was sent: ${JSON.stringify(message.body.slice(0, 100))}`);
    if (message.complete && message.body !== wanted.body)
      say(`it looks complete with ${message.body.length} of ${wanted.body.length} bytes`);
    const client = played.clients[exchange.client];
    const sent = (client?.sent ?? 0) >= (client?.requests[exchange.index]?.end ?? 0);
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

/** Was it the first on its connection? Bytes in front of a later answer may be left over from an earlier one. */
function isFirst(arrival: Arrival): boolean {
  return arrival.on.arrivals[0] === arrival;
}

// -- the account -----------------------------------------------------------------------------------------------------

function short({ path, status, error, by, how, phase, bytesIn, bytesOut }: Account): string {
  return `${path} ${status} ${error ?? ""} by ${by} ${how} in ${phase}, ${bytesIn} in, ${bytesOut} out`;
}

function judgeAccount(one: Case): string[] {
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
  const wanted = requestBytes(exchange.spec.request, exchange.tag).body.length;
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

/** Is the one who is said to have ended it the one who did? */
function judgeBlame(
  { client, innocent, played, exchange, untroubled, answer }: Case,
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
  if (
    account.by === "upstream" &&
    account.how !== "done" &&
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

// -- tunnels ---------------------------------------------------------------------------------------------------------

/** What we may put behind the last frame of a side that is lost, or behind everything at a drain. */
const CLOSES = ["\x03\xe9", "\x03\xf4"];

/** Is it the beginning of what was sent, and behind it at most one Close of ours? Returns what is wrong. */
function judgeBytes(got: string, sent: string, masked: boolean): string | undefined {
  if (sent.startsWith(got)) return undefined;
  const length = masked ? 8 : 4;
  const front = got.slice(0, Math.max(0, got.length - length));
  const tail = got.slice(front.length);
  // Our own frames to an upstream are masked with a key of their own.
  const isClose = masked ? tail.startsWith("\x88\x82") : CLOSES.some((reason) => tail === frame(8, reason, false));
  if (isClose && tail.length === length && sent.startsWith(front) && isBoundary(front)) return undefined;
  let same = 0;
  while (same < got.length && same < sent.length && got[same] === sent[same]) same += 1;
  return `${JSON.stringify(got.slice(0, 300))} of ${JSON.stringify(sent.slice(0, 300))}, different from ${same} on`;
}

/** Does a frame end here? */
function isBoundary(bytes: string): boolean {
  let at = 0;
  while (at < bytes.length) {
    const second = bytes.charCodeAt(at + 1);
    let length = second & 0x7f;
    let head = 2;
    if (length === 126) {
      length = (bytes.charCodeAt(at + 2) << 8) | bytes.charCodeAt(at + 3);
      head = 4;
    }
    at += head + ((second & 0x80) > 0 ? 4 : 0) + length;
  }
  return at === bytes.length;
}

function judgeTunnel(one: Case, received: string): string[] {
  const { exchange, client, played, account } = one;
  const { tag } = exchange;
  const findings: string[] = [];
  const down = frameBytes(exchange.spec, "upstream", tag);
  const up = frameBytes(exchange.spec, "client", tag);
  const last = exchange.arrivals.at(-1);
  const got = last?.on.tunnel ?? "";
  const wrongDown = judgeBytes(received, down, false);
  const wrongUp = judgeBytes(got, up, true);
  if (wrongDown !== undefined) findings.push(`its client got ${wrongDown}`);
  if (wrongUp !== undefined) findings.push(`its upstream got ${wrongUp}`);
  if (account && account.kind === "tunnel") {
    if (account.bytesIn > up.length || account.bytesOut > down.length)
      findings.push(`more bytes than there were: ${short(account)}`);
  }
  const quiet = played.drainedAt === Infinity && played.killedAt === Infinity && !isLate(played);
  if (
    !quiet ||
    !one.innocent ||
    exchange.spec.fault.kind === "fin" ||
    exchange.spec.fault.kind === "rst" ||
    exchange.spec.fault.kind === "close" ||
    exchange.spec.fault.kind === "stall"
  )
    return findings;
  if (!received.startsWith(down)) findings.push(`its client has ${received.length} of ${down.length} bytes`);
  if (client.sent >= (client.requests.at(-1)?.end ?? 0) + up.length && !got.startsWith(up))
    findings.push(`its upstream has ${got.length} of ${up.length} bytes`);
  return findings;
}

/** For messages: what a body of an exchange would be. */
export { bodyOf };
