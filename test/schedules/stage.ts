// What a play is made of: the clients and exchanges of a schedule with their bytes, and what has become of them so far.
// Made by player.ts; clients.ts and upstreams.ts act on it.

import { answerBytes, clientBytes, cutAt, frameBytes, tagOf } from "./bytes.ts";
import type { Lane } from "./lane.ts";
import type { Arrival, Audience, UpstreamSocket } from "./upstream-server.ts";
import { turn, Waiting } from "./loop.ts";
import type { PlayedClient, PlayedExchange } from "./played.ts";
import type { ClientSpec, ExchangeSpec, Schedule } from "./schedule.ts";

let plays = 0;

/** The stage of one play. */
export class Stage implements Audience {
  readonly lane: Lane;
  readonly schedule: Schedule;
  readonly clients: PlayedClient[];
  readonly exchanges: PlayedExchange[];
  readonly sockets: Set<UpstreamSocket> = new Set();
  readonly findings: string[] = [];
  readonly waiting: Waiting = new Waiting();
  /** Turns of the event loop that the script has waited for. */
  turns = 0;
  /** Is the upstream away? */
  dead = false;
  inFinale = false;
  /** When the proxy was told to drain and nobody took over, in milliseconds. */
  drainsSince = Infinity;
  readonly #name: string;
  readonly #byTag = new Map<string, PlayedExchange>();

  constructor(lane: Lane, schedule: Schedule) {
    this.lane = lane;
    this.schedule = schedule;
    plays += 1;
    this.#name = plays.toString(36);
    this.clients = schedule.clients.map((spec, n) => this.#clientOf(spec, n));
    this.exchanges = schedule.clients.flatMap((spec, n) =>
      spec.exchanges.map((one, index) => this.#exchangeOf(one, n, index)),
    );
    for (const one of this.exchanges) this.#byTag.set(one.tag, one);
  }

  #clientOf(spec: ClientSpec, n: number): PlayedClient {
    const { text, requests } = clientBytes(spec, this.#name, n);
    const marks = requests.flatMap(({ head, end }) => [end, head]);
    return {
      spec,
      socket: undefined,
      pieces: cutAt(text, spec.cuts, marks),
      requests,
      sent: 0,
      log: [],
      received: "",
      read: undefined,
      ended: "no",
      endedAt: Infinity,
      closed: false,
      crosses: false,
      fault: "none",
      faultAt: Infinity,
    };
  }

  #exchangeOf(spec: ExchangeSpec, client: number, index: number): PlayedExchange {
    const tag = tagOf(this.#name, client, index);
    const answer = answerBytes(spec.answer, spec.request, tag);
    const frames = spec.answer.switches ? frameBytes(spec, "upstream", tag) : "";
    const { headEnd, wholeAt } = answer;
    const marks = [headEnd, wholeAt, headEnd - 1, headEnd - 2, headEnd - 3, 12];
    const last = spec.answer.flaw === "surplus-answer" ? wholeAt : Infinity;
    const pieces = cutAt(answer.text + frames, spec.cuts, marks, last);
    if (answer.untilClose) pieces.push("");
    return { spec, client, index, tag, answer, pieces, arrivals: [], missed: false };
  }

  changed(): void {
    this.waiting.wake();
  }

  arrived(arrival: Arrival): void {
    this.sockets.add(arrival.on);
    const { spent } = arrival.on;
    if (spent !== undefined) this.findings.push(`${arrival.tag} came on a connection that was spent: ${spent}`);
    const exchange = this.#byTag.get(arrival.tag);
    if (!exchange) {
      this.findings.push(`a request of nobody arrived: ${JSON.stringify(arrival.message.line)} of ${arrival.tag}`);
      return;
    }
    exchange.arrivals.push(arrival);
    // What made the connection unusable crossed this request on its way.
    if (arrival.on.over !== undefined) arrival.soiledAt = arrival.at;
    arrival.attempt = exchange.arrivals.length;
  }

  /** Lets so many turns of the event loop pass. */
  async pass(turns: number): Promise<void> {
    for (let n = 0; n < turns; n += 1) {
      this.turns += 1;
      await turn();
    }
  }
}
