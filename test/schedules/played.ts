// The record of a play that player.ts makes for the judges: which peer sent what and when, and what arrived.

import type { Socket } from "node:net";
import type { PlacedRequest, RenderedAnswer } from "./bytes.ts";
import type { Account } from "./lane.ts";
import type { Arrival, UpstreamSocket } from "./upstream-server.ts";
import { readAnswer, statusOf, valuesOf, type ReadMessage } from "./reader.ts";
import type { ClientSpec, ExchangeSpec, FaultKind, Schedule } from "./schedule.ts";

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
  requests: PlacedRequest[];
  sent: number;
  /** When the last byte that was sent so far was sent, by offset; and in which turn of the script. */
  log: { at: number; turn: number; upTo: number }[];
  received: string;
  /** What `received` was read as, when it was so long. */
  read: { length: number; answers: Answers } | undefined;
  /** What ended the connection, as the client saw it. */
  ended: "no" | "fin" | "rst" | "refused" | "unclear";
  endedAt: number;
  closed: boolean;
  /** Does it wait for a FIN of ours before it sends the rest? */
  crosses: boolean;
  fault: FaultKind;
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
  /** When the proxy was drained or taken over, and in which turn of the script. */
  drainedAt: number;
  drainedTurn: number;
  killedAt: number;
  /** Milliseconds of the whole, and of the scripts alone. */
  ms: number;
  scriptMs: number;
  /** The longest that our own event loop stood still. */
  lagMs: number;
}

/** The final answers a client has got, whole ones and the last as far as it came; and where they end. */
export interface Answers {
  answers: ReadMessage[];
  interims: number[][];
  end: number;
  wrong?: string;
}

const UNREAD = new Set(["bad_request", "request_timeout"]);

/** Can what has come since it was read last make a difference to what a client waits for? */
export function isWorthReading({ read, received }: PlayedClient): boolean {
  const last = read?.answers.answers.at(-1);
  return !last || last.complete || received.length >= last.needs;
}

/** What a client has got. */
export function answersOf(client: PlayedClient): Answers {
  if (client.read?.length !== client.received.length)
    client.read = { length: client.received.length, answers: readAnswers(client) };
  return client.read.answers;
}

function readAnswers(client: PlayedClient): Answers {
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
