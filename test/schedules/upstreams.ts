// What the upstream does in a play: send the next piece of an answer, cause a fault.

import { tick, type Arrival, type UpstreamSocket } from "./upstream-server.ts";
import { WINDOW } from "./facts.ts";
import { end, reset, stopReading, turn } from "./loop.ts";
import type { PlayedExchange } from "./played.ts";
import type { Stage } from "./stage.ts";

const ARRIVAL_MS = 40;
/** In so many turns of the event loop the proxy has read what was sent to it. */
const TURNS_TO_READ = 4;

/** The next step of the upstream for an exchange: waits until it was asked, if it can be. */
export async function upstreamStep(stage: Stage, exchange: PlayedExchange): Promise<void> {
  if (exchange.arrivals.length === 0) await arrival(stage, exchange);
  advance(stage, exchange);
}

async function arrival(stage: Stage, exchange: PlayedExchange): Promise<void> {
  const client = stage.clients[exchange.client];
  const before = stage.exchanges.find((one) => one.client === exchange.client && one.index === exchange.index - 1);
  if (before?.missed) exchange.missed = true;
  const isLost = client === undefined || client.fault !== "none" || client.ended !== "no" || stage.dead;
  if (isLost) for (let n = 0; n < 3 && exchange.arrivals.length === 0; n += 1) await turn();
  else if (!exchange.missed) {
    const over = (): boolean => exchange.arrivals.length > 0 || client.closed;
    exchange.missed = !(await stage.waiting.until(over, ARRIVAL_MS));
  }
}

/** Does what comes next on the connection on which a request arrived last. False when there is nothing. */
export function advance(stage: Stage, exchange: PlayedExchange): boolean {
  const one = exchange.arrivals.at(-1);
  if (!one || one.on.closed || one.closed) return false;
  // Nor does it say a word more to whoever came meanwhile.
  if (one.on.leaves) return false;
  const { spec } = exchange;
  // Not before its turn: nobody answers what has not come.
  if (one.completeAt === Infinity && !spec.answer.early) return false;
  // What is left over must not fall into the middle of another answer: nobody could tell.
  if (one.on.arrivals.some((other) => other.at > one.at && other.sent > 0)) return false;
  if (isFaultDue(exchange, one)) {
    fail(stage, exchange, one);
    return true;
  }
  return send(stage, exchange, one);
}

function isFaultDue({ spec: { fault, answer }, pieces }: PlayedExchange, one: Arrival): boolean {
  if (fault.kind === "none" || one.faultAt !== Infinity || one.attempt > fault.times) return false;
  // The FIN that ends a body is no fault.
  if (fault.kind === "fin" && pieces[one.pieces] === "") return false;
  // A tunnel's two ends have a limit of their own, which is longer than a play; and behind an answer it would be the
  // next request on the connection that meets it.
  if (fault.kind === "stall" && (answer.switches || one.wholeAt !== Infinity)) return false;
  return one.pieces >= Math.min(fault.at, pieces.length);
}

function fail(stage: Stage, { spec: { fault } }: PlayedExchange, one: Arrival): void {
  const { on } = one;
  const { socket } = on;
  one.faultAt = tick();
  if (fault.kind === "pause" || fault.kind === "nap") {
    on.paused = true;
    if (!stage.inFinale) socket.pause();
    return;
  }
  one.fault = fault.kind;
  one.closed = true;
  if (fault.kind === "stall") {
    on.paused = true;
    socket.pause();
    return;
  }
  on.over ??= `its upstream had ended it (${fault.kind})`;
  if (fault.kind === "leave") return void leave(stage, on, 2 * fault.times);
  if (fault.kind === "fin") end(socket);
  else if (fault.kind === "close") socket.destroy();
  else reset(socket);
}

/** What comes meanwhile is never read: the proxy has a RST behind the FIN as a proof of that. */
async function leave(stage: Stage, on: UpstreamSocket, turns: number): Promise<void> {
  on.paused = true;
  on.leaves = true;
  stopReading(on.socket);
  for (let n = 0; n < turns; n += 1) await turn();
  end(on.socket);
  for (let n = 0; n < turns; n += 1) await turn();
  on.socket.destroy();
  stage.changed();
}

/** Has the client not yet sent the whole request? */
function owesRequest({ clients }: Stage, { client, index }: PlayedExchange): boolean {
  const asking = clients[client];
  return (asking?.sent ?? 0) < (asking?.requests[index]?.end ?? 0);
}

/** An answer was whole before its request. If the client sends the rest at once, the proxy may read that rest first. */
async function spend(stage: Stage, exchange: PlayedExchange, on: UpstreamSocket): Promise<void> {
  for (let n = 0; n < TURNS_TO_READ; n += 1) await turn();
  if (owesRequest(stage, exchange)) on.spent ??= "an answer that came before its request";
}

function send(stage: Stage, exchange: PlayedExchange, one: Arrival): boolean {
  const { answer, spec } = exchange;
  const { on } = one;
  const piece = exchange.pieces[one.pieces];
  if (spec.fault.kind === "nap" && one.faultAt !== Infinity && one.pieces > spec.fault.at) on.socket.resume();
  if (piece === undefined) return false;
  one.pieces += 1;
  if (piece === "") {
    one.closed = true;
    end(on.socket);
  } else {
    if (!on.socket.writable) {
      one.closed = true;
      return false;
    }
    one.sent += piece.length;
    if (one.saidAt === Infinity) one.saidAt = tick();
    on.socket.write(piece, "latin1");
    // The end of a large answer leaves later, maybe behind the rest of the request.
    const isAtOnce = one.sent <= WINDOW;
    if (one.sent >= answer.wholeAt && isAtOnce && owesRequest(stage, exchange)) void spend(stage, exchange, on);
  }
  if (!answer.reusable) on.spent ??= "its answer did not allow that";
  if (one.sent > answer.wholeAt && !spec.answer.switches) {
    on.over ??= "more had come than its answer";
    for (const other of on.arrivals) if (other.at > one.at) other.soiledAt = Math.min(other.soiledAt, tick());
    // What comes later may cross the next request on its way.
    if (one.sent - piece.length < answer.wholeAt) on.spent ??= on.over;
  }
  if (one.sent >= answer.wholeAt && (!answer.untilClose || piece === "") && one.wholeAt === Infinity) {
    one.wholeAt = tick();
  }
  return true;
}

/** How many steps the upstream has for an exchange. */
export function upstreamSteps({ pieces, spec: { fault } }: PlayedExchange): number {
  return pieces.length + (fault.kind === "none" ? 0 : 1);
}
