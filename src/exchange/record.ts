// Records the attempts of an exchange, and makes its Outcome at the end. Made by exchange.ts. Of the exchange that
// opened it, a tunnel keeps only this.

import type { FailureCode, How, Side, Why } from "../core/errors.ts";
import { nextId, type Attempt, type Outcome, type Phase, type Proof } from "../core/outcome.ts";
import { clientOf } from "../http/request-head.ts";
import type { Admitted, Progress } from "./parts.ts";

/** How an exchange ended. */
export interface Ending {
  by: Side;
  how: How;
  phase: Phase;
  /** The status that the client got; 0 if it left before. */
  status: number;
  error?: FailureCode | undefined;
  /** What was wrong with the request. */
  why?: Why | undefined;
  bytesIn: number;
  bytesOut: number;
  /** Did the client leave, by a reset, something that has no end (an event stream, an idle tunnel)? */
  left?: boolean;
}

/** What is known when the exchange begins. */
interface Asked {
  route: string;
  method: string;
  /** The request target. */
  url: string;
  ray: string | undefined;
  /** The client's address. */
  client: string;
}

/** Makes the record of an accepted request. */
export function recordOf({ req, head, client, upstream }: Admitted): ExchangeRecord {
  const { method = "", url = "" } = req;
  return new ExchangeRecord({ route: upstream.name, method, url, ray: head.ray, client: clientOf(head, client) });
}

/** The record of one exchange. */
export class ExchangeRecord {
  readonly id: string = nextId();
  readonly path: string;
  readonly #asked: Asked;
  readonly #started = performance.now();
  readonly #attempts: Attempt[] = [];

  constructor(asked: Asked) {
    this.#asked = asked;
    const query = asked.url.indexOf("?");
    this.path = query < 0 ? asked.url : asked.url.slice(0, query);
  }

  /** The request, when it began, and the number of attempts. */
  get facts(): Omit<Progress, "phase"> {
    const { id, path, attempts } = this;
    const { route, method, client } = this.#asked;
    return { id, route, method, path, client, started: this.#started, attempts };
  }

  /** The number of attempts so far. */
  get attempts(): number {
    return this.#attempts.reduce((sum, { times }) => sum + times, 0);
  }

  /** A dial failed. The same failure several times in a row is one entry. */
  notConnected(code: string): void {
    const last = this.#attempts.at(-1);
    if (last?.phase === "connect" && last.code === code) last.times += 1;
    else this.#attempts.push({ reused: false, idleMs: 0, code, phase: "connect", times: 1 });
  }

  /** An attempt begins on this connection. */
  connected(reused: boolean, idleMs: number): void {
    this.#attempts.push({ reused, idleMs: Math.round(idleMs), phase: "waiting", times: 1 });
  }

  /** The last attempt failed. */
  failed(code: string, phase?: Phase, proof?: Proof): void {
    const attempt = this.#attempts.at(-1);
    if (!attempt) return;
    attempt.code = code;
    if (phase !== undefined) attempt.phase = phase;
    if (proof !== undefined) attempt.proof = proof;
  }

  outcome({ by, how, phase, status, error, why, bytesIn, bytesOut, left }: Ending): Outcome {
    const { route, method, ray, client } = this.#asked;
    return {
      id: this.id,
      kind: phase === "tunnel" ? "tunnel" : "request",
      route,
      method,
      path: this.path,
      status,
      error,
      why,
      bytesIn,
      bytesOut,
      ms: Math.round(performance.now() - this.#started),
      attempts: this.#attempts,
      by,
      how,
      phase,
      left: left === true ? true : undefined,
      ray,
      client,
    };
  }
}
