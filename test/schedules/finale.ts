// The end of a play: peers send the rest of their bytes, clients leave, and then, within the time limits of the proxy,
// nothing may be open any more.

import { frameBytes } from "./bytes.ts";
import { sendRest } from "./clients.ts";
import { DRAIN_MS, LIMIT_MS } from "./lane.ts";
import { end } from "./loop.ts";
import { answersOf, isWorthReading, type PlayedClient } from "./played.ts";
import { statusOf } from "./reader.ts";
import type { Stage } from "./stage.ts";
import { advance } from "./upstreams.ts";

/** Far more than a schedule needs when nobody waits for a limit. */
const FINALE_MS = 2 * LIMIT_MS + 400;
/** More than the two seconds after which the proxy looks for a client that it does not read (core/departed.ts). */
const CLOSING_MS = 3000;

/** Ends a play; what does not end is a finding. */
export async function finale(stage: Stage, draining: Promise<void> | undefined): Promise<void> {
  const { clients, exchanges, findings, lane, waiting } = stage;
  stage.inFinale = true;
  for (const client of clients) if (!isStalled(client)) client.socket?.resume();
  for (const { socket, arrivals, leaves } of stage.sockets)
    if (!leaves && arrivals.at(-1)?.fault !== "stall") socket.resume();
  const isSaid = (): boolean => {
    let more = false;
    for (const exchange of exchanges) more = advance(stage, exchange) || more;
    return !more && clients.every((client, n) => hasAll(stage, client, n));
  };
  await waiting.until(isSaid, FINALE_MS);
  await endStalled(stage, isSaid);
  if (draining) await crossOurFin(stage);
  for (const { socket } of clients) if (socket) end(socket);
  // A tunnel's upstream goes when its client has gone.
  const leave = (): boolean => {
    for (const exchange of exchanges) advance(stage, exchange);
    for (const one of stage.sockets) if (one.tunnel !== undefined && one.ended !== "no") end(one.socket);
    return clients.every(({ socket, closed }) => !socket || closed);
  };
  if (!(await waiting.until(leave, CLOSING_MS))) {
    const left = clients.flatMap(({ closed }, n) => (closed ? [] : [n]));
    findings.push(`connections of clients are open behind their FIN: ${left.join()}`);
    for (const { socket } of clients) socket?.resetAndDestroy();
  }
  if (!(await waiting.untilSeldom(() => leave() && lane.open() === "", CLOSING_MS)))
    findings.push(`not over: ${lane.open()}`);
  if (draining) {
    let drained = false;
    void draining.then(() => (drained = true));
    if (!(await waiting.until(() => drained, DRAIN_MS + CLOSING_MS))) findings.push("the drain does not end");
  }
  await emptyUpstream(stage);
}

function isStalled({ fault }: PlayedClient): boolean {
  return fault === "stall" || fault === "deaf";
}

/** Waits until peers that do not read are ended by a time limit, and lets their clients see how. */
async function endStalled(stage: Stage, goOn: () => boolean): Promise<void> {
  const { clients, exchanges, findings, lane, waiting } = stage;
  const stalled = clients.filter((client) => isStalled(client) && !client.closed);
  if (stalled.length === 0) return;
  // An event stream may be silent for ever.
  const isSilent = (): boolean =>
    exchanges.some(({ spec, arrivals }) => spec.answer.events && arrivals.at(-1)?.fault === "stall");
  if (!(await waiting.untilSeldom(() => isSilent() || (goOn() && !lane.isBusy()), FINALE_MS)))
    findings.push(`a client has stalled, and its request goes on: ${lane.open()}`);
  for (const { socket } of stalled) socket?.resume();
}

/** Waits for the FIN that a drain sends on idle connections, and lets bytes of their clients cross it. */
async function crossOurFin(stage: Stage): Promise<void> {
  const crossing = stage.clients.filter(({ crosses, closed }) => crosses && !closed);
  if (crossing.length === 0) return;
  const isOver = (): boolean => {
    for (const exchange of stage.exchanges) advance(stage, exchange);
    for (const client of crossing) sendRest(stage, client);
    return crossing.every(({ ended }) => ended !== "no");
  };
  await stage.waiting.until(isOver, DRAIN_MS + CLOSING_MS);
}

/** Open connections should be idle ones in the proxy's pool, which close after a FIN; any other was leaked. */
async function emptyUpstream({ findings, lane, waiting }: Stage): Promise<void> {
  for (const one of lane.upstream.sockets) {
    // Unread, its end would not be seen.
    if (!one.leaves) one.socket.resume();
    const last = one.arrivals.at(-1);
    const why =
      one.spent ?? one.over ?? (last && last.wholeAt === Infinity ? "its exchange was broken off" : undefined);
    if (why !== undefined && !(await waiting.until(() => one.closed || one.ended !== "no", CLOSING_MS)))
      findings.push(`a connection to the upstream is kept: ${why} (${last?.tag})`);
    end(one.socket);
  }
  if (await waiting.until(() => lane.upstream.sockets.size === 0, CLOSING_MS)) return;
  for (const { arrivals, ended, socket } of lane.upstream.sockets) {
    const tags = arrivals.map(({ tag }) => tag).join();
    findings.push(`a connection to the upstream does not close (${tags}, ended: ${ended}, ${socket.readyState})`);
  }
  for (const { socket } of lane.upstream.sockets) socket.destroy();
}

/** Has a client everything it can wait for? */
function hasAll({ exchanges }: Stage, client: PlayedClient, n: number): boolean {
  if (!client.socket || client.closed || client.ended !== "no" || client.fault !== "none") return true;
  const asked = client.requests.filter(({ end: at }) => at <= client.sent).length;
  const last = (client.crosses ? asked : client.spec.exchanges.length) - 1;
  if (last < 0) return true;
  if (!isWorthReading(client)) return false;
  const { answers, end: read } = answersOf(client);
  const exchange = exchanges.find((one) => one.client === n && one.index === last);
  const answer = answers.at(-1);
  if (exchange && answer && statusOf(answer) === 101) {
    const arrival = exchange.arrivals.at(-1);
    const due = frameBytes(exchange.spec, "upstream", exchange.tag).length;
    // One that waits for our FIN keeps its other frames until then.
    const owed = client.crosses ? 0 : frameBytes(exchange.spec, "client", exchange.tag).length;
    if (arrival?.closed) return false;
    return client.received.length - read >= due && (arrival?.on.tunnel?.length ?? 0) >= owed;
  }
  return answers.length > last && answer?.complete === true;
}
