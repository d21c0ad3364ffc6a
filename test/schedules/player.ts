// Plays a schedule in a lane: steps of clients, upstreams and the world in their one order, then a finale in which
// everybody says what was left to say and leaves. Judges nothing but that all is over in the end.

import { connect, type Socket } from "node:net";
import { answerBytes, clientBytes, cutAt, frameBytes, tagOf, type RenderedAnswer } from "./bytes.ts";
import {
  DRAIN_MS,
  LIMIT_MS,
  tick,
  type Account,
  type Arrival,
  type Audience,
  type Lane,
  type UpstreamSocket,
} from "./lane.ts";
import { readAnswer, statusOf, valuesOf, type ReadMessage } from "./reader.ts";
import type { ClientSpec, ExchangeSpec, Schedule } from "./schedule.ts";

/** An exchange as it is played. */
export interface PlayedExchange {
  spec: ExchangeSpec;
  client: number;
  index: number;
  tag: string;
  answer: RenderedAnswer;
  /** What the upstream sends; empty text is a FIN. */
  pieces: string[];
  arrivals: Arrival[];
  /** It did not come in its time; nobody waits for it again. */
  missed: boolean;
}

/** A client as it was played. */
export interface PlayedClient {
  spec: ClientSpec;
  socket: Socket | undefined;
  pieces: string[];
  requests: { from: number; head: number; end: number }[];
  sent: number;
  /** When the last byte that was sent so far was sent, by offset. */
  log: { at: number; upTo: number }[];
  received: string;
  /** What ended the connection, as the client saw it. */
  ended: "no" | "fin" | "rst" | "refused" | "unclear";
  endedAt: number;
  closed: boolean;
  fault: "none" | "fin" | "rst" | "stall";
  faultAt: number;
}

/** What was played, for the judge. */
export interface Played {
  schedule: Schedule;
  clients: PlayedClient[];
  exchanges: PlayedExchange[];
  sockets: UpstreamSocket[];
  accounts: Account[];
  /** What did not end, alarms, requests of nobody. */
  findings: string[];
  drainedAt: number;
  killedAt: number;
  /** Milliseconds of the whole, and of the scripts alone. */
  ms: number;
  scriptMs: number;
  /** The longest that our own event loop stood still. */
  lagMs: number;
}

/** Far more than a schedule needs when nobody waits for a limit. */
const FINALE_MS = 2 * LIMIT_MS + 400;
const CLOSING_MS = 1400;
const KEPT_MS = CLOSING_MS;
const ARRIVAL_MS = 40;
const CONNECT_MS = 1000;
const LOOK_MS = 20;

let plays = 0;

/** How late our own event loop is. */
const lag = { max: 0, last: performance.now() };
setInterval(() => {
  const now = performance.now();
  lag.max = Math.max(lag.max, now - lag.last - 10);
  lag.last = now;
}, 10).unref();
const lags: { at: number; ms: number }[] = [];
setInterval(() => {
  if (lag.max > 50) lags.push({ at: performance.now(), ms: lag.max });
  lag.max = 0;
  while ((lags[0]?.at ?? Infinity) < performance.now() - 10_000) lags.shift();
}, 50).unref();

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resets a connection. One on which a FIN is just being sent cannot be reset: node would forget to close it. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** A RST that comes with the last bytes looks like an end; the kernel then knows no peer any more. */
function isReset(socket: Socket): boolean {
  const { _handle: handle } = socket as { _handle?: { getpeername?(name: object): number } };
  return (handle?.getpeername?.({}) ?? 0) !== 0;
}

/** One play of a schedule. */
export class Play implements Audience {
  readonly #lane: Lane;
  readonly #schedule: Schedule;
  readonly #name: string;
  readonly #clients: PlayedClient[];
  readonly #exchanges: PlayedExchange[];
  readonly #byTag = new Map<string, PlayedExchange>();
  readonly #sockets = new Set<UpstreamSocket>();
  readonly #findings: string[] = [];
  #wake: (() => void) | undefined;
  #draining: Promise<void> | undefined;
  #drainedAt = Infinity;
  #killedAt = Infinity;
  #dead = false;
  #inFinale = false;

  constructor(lane: Lane, schedule: Schedule) {
    this.#lane = lane;
    this.#schedule = schedule;
    plays += 1;
    this.#name = plays.toString(36);
    this.#clients = schedule.clients.map((spec, n) => this.#clientOf(spec, n));
    this.#exchanges = schedule.clients.flatMap((spec, n) =>
      spec.exchanges.map((one, index) => this.#exchangeOf(one, n, index)),
    );
    for (const one of this.#exchanges) this.#byTag.set(one.tag, one);
  }

  #clientOf(spec: ClientSpec, n: number): PlayedClient {
    const { text, requests } = clientBytes(spec, this.#name, n);
    const marks = requests.flatMap(({ head, end }) => [end, head]);
    const pieces = cutAt(text, spec.cuts, marks);
    return {
      spec,
      socket: undefined,
      pieces,
      requests,
      sent: 0,
      log: [],
      received: "",
      ended: "no",
      endedAt: Infinity,
      closed: false,
      fault: "none",
      faultAt: Infinity,
    };
  }

  #exchangeOf(spec: ExchangeSpec, client: number, index: number): PlayedExchange {
    const tag = tagOf(this.#name, client, index);
    const answer = answerBytes(spec.answer, spec.request, tag);
    const frames = spec.answer.switches ? frameBytes(spec, "upstream", tag) : "";
    const text = answer.text + frames;
    const last = spec.answer.flaw === "surplus-answer" ? answer.wholeAt : Infinity;
    const pieces = cutAt(
      text,
      spec.cuts,
      [answer.headEnd, answer.wholeAt, answer.headEnd - 1, answer.headEnd - 2, answer.headEnd - 3, 12],
      last,
    );
    if (answer.untilClose) pieces.push("");
    return { spec, client, index, tag, answer, pieces, arrivals: [], missed: false };
  }

  // -- what is heard -------------------------------------------------------------------------------------------------

  changed(): void {
    this.#wake?.();
  }

  arrived(arrival: Arrival): void {
    this.#sockets.add(arrival.on);
    const { spent } = arrival.on;
    if (spent !== undefined) this.#findings.push(`${arrival.tag} came on a connection that was spent: ${spent}`);
    const exchange = this.#byTag.get(arrival.tag);
    if (!exchange) {
      this.#findings.push(`a request of nobody arrived: ${JSON.stringify(arrival.message.line)} of ${arrival.tag}`);
      return;
    }
    exchange.arrivals.push(arrival);
    arrival.attempt = exchange.arrivals.length;
  }

  /** Waits until `over` holds, for so long; returns whether it does. Time in which our own loop stood still is free. */
  async #until(over: () => boolean, ms: number): Promise<boolean> {
    let left = ms;
    while (!over()) {
      if (left <= 0) return false;
      const before = performance.now();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
      left -= Math.min(performance.now() - before, 1.5 * LOOK_MS);
    }
    return true;
  }

  // -- clients -------------------------------------------------------------------------------------------------------

  async #dial(client: PlayedClient): Promise<Socket> {
    const socket = connect({ host: "127.0.0.1", port: this.#lane.port, allowHalfOpen: true, noDelay: true });
    client.socket = socket;
    const end = (how: PlayedClient["ended"]): void => {
      if (client.ended === "no") {
        client.ended = how;
        client.endedAt = tick();
      }
    };
    socket.on("error", (error: NodeJS.ErrnoException) => end(error.code === "ECONNREFUSED" ? "refused" : "rst"));
    socket.on("data", (chunk: Buffer) => {
      client.received += chunk.toString("latin1");
      this.changed();
    });
    socket.on("end", () => {
      end(socket.writableEnded ? "unclear" : isReset(socket) ? "rst" : "fin");
      this.changed();
    });
    let connected = false;
    socket.once("connect", () => {
      connected = true;
      this.changed();
    });
    socket.on("close", () => {
      client.closed = true;
      this.changed();
    });
    await this.#until(() => connected || client.closed, CONNECT_MS);
    return socket;
  }

  async #clientStep(client: PlayedClient): Promise<void> {
    if (client.fault === "fin" || client.fault === "rst" || client.fault === "stall" || client.ended !== "no") return;
    const socket = client.socket ?? (await this.#dial(client));
    const { fault } = client.spec;
    if (
      fault.kind !== "none" &&
      client.fault === "none" &&
      client.log.length >= fault.at &&
      client.faultAt === Infinity
    ) {
      client.faultAt = tick();
      if (fault.kind === "pause") socket.pause();
      else {
        client.fault = fault.kind;
        if (fault.kind === "fin") socket.end();
        else if (fault.kind === "rst") reset(socket);
      }
      return;
    }
    const piece = client.pieces[client.log.length];
    if (piece === undefined || !socket.writable) return;
    client.sent += piece.length;
    client.log.push({ at: tick(), upTo: client.sent });
    socket.write(piece, "latin1");
  }

  // -- upstreams -----------------------------------------------------------------------------------------------------

  async #upstreamStep(exchange: PlayedExchange): Promise<void> {
    const client = this.#clients[exchange.client];
    if (exchange.arrivals.length === 0) {
      const { index } = exchange;
      const before = this.#exchanges.find((one) => one.client === exchange.client && one.index === index - 1);
      if (before?.missed) exchange.missed = true;
      const lost = client === undefined || client.fault !== "none" || client.ended !== "no" || this.#dead;
      if (lost) for (let n = 0; n < 3 && exchange.arrivals.length === 0; n += 1) await turn();
      else if (!exchange.missed)
        exchange.missed = !(await this.#until(() => exchange.arrivals.length > 0 || client.closed, ARRIVAL_MS));
    }
    this.#advance(exchange);
  }

  /** Does what comes next on the connection on which a request arrived last. False when there is nothing. */
  #advance(exchange: PlayedExchange): boolean {
    const arrival = exchange.arrivals.at(-1);
    if (!arrival || arrival.on.closed || arrival.closed) return false;
    const { answer, spec } = exchange;
    // Not before its turn: nobody answers what has not come.
    if (arrival.completeAt === Infinity && !spec.answer.early) return false;
    // What is left over must not fall into the middle of another answer: nobody could tell.
    if (arrival.on.arrivals.some((one) => one.at > arrival.at && one.sent > 0)) return false;
    const { socket } = arrival.on;
    const { fault } = spec;
    // The FIN that ends a body is no fault.
    const ends = fault.kind === "fin" && exchange.pieces[arrival.pieces] === "";
    if (
      fault.kind !== "none" &&
      !ends &&
      arrival.faultAt === Infinity &&
      arrival.attempt <= fault.times &&
      arrival.pieces >= fault.at
    ) {
      arrival.faultAt = tick();
      if (fault.kind === "pause") {
        if (!this.#inFinale) socket.pause();
        return true;
      }
      arrival.fault = fault.kind;
      arrival.closed = true;
      if (fault.kind !== "stall") arrival.on.over ??= `its upstream had ended it (${fault.kind})`;
      if (fault.kind === "fin") socket.end();
      else if (fault.kind === "rst") reset(socket);
      return true;
    }
    const piece = exchange.pieces[arrival.pieces];
    if (piece === undefined) return false;
    arrival.pieces += 1;
    if (piece === "") {
      arrival.closed = true;
      socket.end();
    } else {
      if (!socket.writable) {
        arrival.closed = true;
        return false;
      }
      const client = this.#clients[exchange.client];
      const early = (client?.sent ?? 0) < (client?.requests[exchange.index]?.end ?? 0);
      arrival.sent += piece.length;
      socket.write(piece, "latin1");
      if (early && arrival.sent >= answer.wholeAt) arrival.on.spent ??= "an answer that came before its request";
    }
    if (!answer.reusable) arrival.on.spent ??= "its answer did not allow that";
    if (arrival.sent > answer.wholeAt && !spec.answer.switches) {
      arrival.on.over ??= "more had come than its answer";
      // What comes later may cross the next request on its way.
      if (arrival.sent - piece.length < answer.wholeAt) arrival.on.spent ??= arrival.on.over;
    }
    if (arrival.sent >= answer.wholeAt && (!answer.untilClose || piece === "") && arrival.wholeAt === Infinity) {
      arrival.wholeAt = tick();
    }
    return true;
  }

  // -- the order -----------------------------------------------------------------------------------------------------

  /** All steps in their order. Nobody answers in it what has not been asked: a schedule has to mean the same each time. */
  *#steps(): Generator<{ turns: number; run: () => void | Promise<void> }> {
    interface Actor {
      left: number;
      ready: () => boolean;
      run: () => void | Promise<void>;
    }
    const given = this.#clients.map(() => 0);
    const sentBy = this.#clients.map(() => 0);
    const lefts = new Map<string, Actor>();
    const actors: Actor[] = this.#clients.map((client, n) => ({
      left: client.pieces.length + (client.spec.fault.kind === "none" ? 0 : 1),
      ready: () => true,
      run: () => {
        const piece = client.pieces[given[n] ?? 0];
        given[n] = (given[n] ?? 0) + 1;
        sentBy[n] = (sentBy[n] ?? 0) + (piece?.length ?? 0);
        return this.#clientStep(client);
      },
    }));
    for (const exchange of this.#exchanges) {
      const { client, index, spec } = exchange;
      const request = this.#clients[client]?.requests[index];
      const from = (spec.answer.early ? request?.head : request?.end) ?? 0;
      const before = index === 0 ? undefined : lefts.get(`${client}.${index - 1}`);
      const actor: Actor = {
        left: exchange.pieces.length + (spec.fault.kind === "none" ? 0 : 1),
        ready: () => (sentBy[client] ?? 0) >= from && (before === undefined || before.left === 0),
        run: () => this.#upstreamStep(exchange),
      };
      lefts.set(`${client}.${index}`, actor);
      actors.push(actor);
    }
    const { world } = this.#schedule;
    if (world === "drain") actors.push({ left: 1, ready: () => true, run: () => this.#drain() });
    if (world === "kill") {
      actors.push({ left: 2, ready: () => true, run: () => (this.#dead ? this.#revive() : this.#kill()) });
    }
    for (let n = 0; ; n += 1) {
      const able = actors.filter((actor) => actor.left > 0 && actor.ready());
      const pick = this.#schedule.order[n] ?? { who: n, turns: 1 };
      const actor = able[pick.who % Math.max(1, able.length)];
      if (!actor) return;
      actor.left -= 1;
      yield { turns: pick.turns, run: actor.run };
    }
  }

  #drain(): void {
    this.#drainedAt = tick();
    this.#draining = this.#lane.proxy.close();
  }

  #kill(): void {
    this.#killedAt = tick();
    this.#dead = true;
    this.#lane.kill();
  }

  async #revive(): Promise<void> {
    this.#dead = false;
    await this.#lane.revive();
  }

  // -- from beginning to end -----------------------------------------------------------------------------------------

  /** Plays it; the lane is as good as new afterwards. */
  async run(): Promise<Played> {
    const lane = this.#lane;
    const began = performance.now();
    lane.accounts = [];
    lane.alarms = [];
    lane.audience = this;
    for (const { turns, run } of this.#steps()) {
      for (let n = 0; n < turns; n += 1) await turn();
      await run();
    }
    const scriptMs = performance.now() - began;
    await this.#finale();
    const ms = performance.now() - began;
    this.#findings.push(...lane.alarms);
    for (const { wrong } of this.#sockets)
      if (wrong !== undefined) this.#findings.push(`the upstream got what is no HTTP: ${wrong}`);
    lane.audience = undefined;
    const lagMs = Math.max(lag.max, ...lags.filter(({ at }) => at > began).map((one) => one.ms));
    const played = {
      schedule: this.#schedule,
      clients: this.#clients,
      exchanges: this.#exchanges,
      sockets: [...this.#sockets],
      accounts: lane.accounts,
      findings: this.#findings,
      drainedAt: this.#drainedAt,
      killedAt: this.#killedAt,
      ms,
      scriptMs,
      lagMs,
    };
    if (this.#schedule.world !== "none") {
      await lane.proxy.close();
      await lane.renew();
    }
    return played;
  }

  async #finale(): Promise<void> {
    if (this.#dead) await this.#revive();
    this.#inFinale = true;
    for (const { socket } of this.#clients) socket?.resume();
    for (const { socket } of this.#sockets) socket.resume();
    const said = (): boolean => {
      let more = false;
      for (const exchange of this.#exchanges) more = this.#advance(exchange) || more;
      return !more && this.#clients.every((client, n) => this.#hasAll(client, n));
    };
    await this.#until(said, FINALE_MS);
    for (const { socket } of this.#clients) socket?.end();
    // A tunnel's upstream goes when its client has gone.
    const leave = (): boolean => {
      for (const exchange of this.#exchanges) this.#advance(exchange);
      for (const one of this.#sockets) if (one.tunnel !== undefined && one.ended !== "no") one.socket.end();
      return this.#clients.every(({ socket, closed }) => !socket || closed);
    };
    if (!(await this.#until(leave, CLOSING_MS))) {
      this.#findings.push(
        `connections of clients are open behind their FIN: ${this.#clients.flatMap(({ closed }, n) => (closed ? [] : [n])).join()}`,
      );
      for (const { socket } of this.#clients) socket?.resetAndDestroy();
    }
    if (!(await this.#until(() => leave() && this.#lane.open() === "", CLOSING_MS))) {
      this.#findings.push(`not over: ${this.#lane.open()}`);
    }
    if (this.#draining) {
      let drained = false;
      void this.#draining.then(() => (drained = true));
      if (!(await this.#until(() => drained, DRAIN_MS + CLOSING_MS))) this.#findings.push("the drain does not end");
    }
    await this.#emptyUpstream();
  }

  /** What is open now is idle in the proxy's pool, and goes with our FIN; anything else was forgotten. */
  async #emptyUpstream(): Promise<void> {
    for (const one of this.#lane.sockets) {
      const last = one.arrivals.at(-1);
      const why =
        one.spent ??
        one.over ??
        (last && last.wholeAt === Infinity && last.fault !== "stall" ? "its exchange was broken off" : undefined);
      if (why !== undefined && !(await this.#until(() => one.closed || one.ended !== "no", KEPT_MS))) {
        this.#findings.push(`a connection to the upstream is kept: ${why} (${last?.tag})`);
      }
      one.socket.end();
    }
    if (await this.#until(() => this.#lane.sockets.size === 0, CLOSING_MS)) return;
    for (const { arrivals, ended, socket } of this.#lane.sockets) {
      const tags = arrivals.map(({ tag }) => tag).join();
      this.#findings.push(
        `a connection to the upstream does not close (${tags}, ended: ${ended}, ${socket.readyState})`,
      );
    }
    for (const { socket } of this.#lane.sockets) socket.destroy();
  }

  /** Has a client everything it can wait for? */
  #hasAll(client: PlayedClient, n: number): boolean {
    if (!client.socket || client.closed || client.ended !== "no" || client.fault === "fin" || client.fault === "rst")
      return true;
    const { answers, end } = answersOf(client);
    const last = client.spec.exchanges.length - 1;
    const exchange = this.#exchanges.find((one) => one.client === n && one.index === last);
    const arrival = exchange?.arrivals.at(-1);
    if (client.fault === "stall") return false;
    if (exchange && statusOfLast(answers) === 101) {
      const due = frameBytes(exchange.spec, "upstream", exchange.tag).length;
      const owed = frameBytes(exchange.spec, "client", exchange.tag).length;
      if (arrival?.closed) return false;
      return client.received.length - end >= due && (arrival?.on.tunnel?.length ?? 0) >= owed;
    }
    return answers.length > last && answers.at(-1)?.complete === true;
  }
}

function statusOfLast(answers: ReadMessage[]): number {
  const last = answers.at(-1);
  return last ? statusOf(last) : 0;
}

const UNREAD = new Set(["bad_request", "request_timeout"]);

/** The final answers a client has got, whole ones and the last as far as it came; and where they end. */
export function answersOf(client: PlayedClient): {
  answers: ReadMessage[];
  interims: number[][];
  end: number;
  wrong?: string;
} {
  const answers: ReadMessage[] = [];
  const interims: number[][] = [[]];
  let at = 0;
  try {
    while (at < client.received.length) {
      const method = client.spec.exchanges[answers.length]?.request.method ?? "GET";
      let answer = readAnswer(client.received, at, method);
      if (!answer) break;
      // Who does not send a head has not said HEAD, either.
      if (method === "HEAD" && UNREAD.has(valuesOf(answer.fields, "x-single-port-error").join()))
        answer = readAnswer(client.received, at, "GET") ?? answer;
      const status = statusOf(answer);
      if (status < 200 && status !== 101) interims.at(-1)?.push(status);
      else {
        answers.push(answer);
        interims.push([]);
      }
      if (!answer.complete) return { answers, interims, end: at };
      at = answer.end;
      if (status === 101) break;
    }
  } catch (error) {
    return { answers, interims, end: at, wrong: (error as Error).message };
  }
  return { answers, interims, end: at };
}
