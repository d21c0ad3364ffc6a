// What an exchange waits for at the moment, until when, and who is late if it does not come. Made by exchange.ts, which
// says what it waits for and ends when it is told that somebody is late.

import type { Socket } from "node:net";
import { Backlog } from "../core/backlog.ts";
import type { Phase } from "../core/outcome.ts";
import { takenBytes } from "../core/taken.ts";
import type { Clock, Deadline } from "../core/timer.ts";

/** Limits of an exchange in milliseconds, 0 means none. */
export interface ExchangeTimes {
  /** Until the response's head, counted from the end of the request. */
  responseTimeoutMs: number;
  /** Until the answer to an upgrade. */
  handshakeTimeoutMs: number;
  /** A body that moves no byte. */
  bodyTimeoutMs: number;
}

/**
 * What is waited for. `nothing` has no limit: a connection is limited by the hold, an event stream may be silent.
 * `client` is a client that takes what is there for it.
 */
export type Awaited = "nothing" | "handshake" | "response" | "body" | "client";

/** Who is told that the time is up. */
export interface Waiting {
  /** Is there nothing to come but from the client's buffer: has all of the response come, or is it not taken? */
  readonly waitsForClient: boolean;
  onLate(): void;
}

/** The one deadline of an exchange. */
export class Limits implements Deadline {
  due: number = Infinity;
  readonly #clock: Clock;
  readonly #times: ExchangeTimes;
  readonly #waiting: Waiting;
  readonly #client: Socket;
  readonly #backlog: Backlog;
  readonly #forget: () => void;

  constructor(clock: Clock, times: ExchangeTimes, waiting: Waiting, client: Socket) {
    this.#clock = clock;
    this.#times = times;
    this.#waiting = waiting;
    this.#client = client;
    this.#backlog = new Backlog(times.bodyTimeoutMs);
    this.#forget = clock.watch(this);
  }

  /** From now on this is waited for. */
  await(what: Awaited): void {
    const { now } = this.#clock;
    if (what === "client") this.due = this.#backlog.begin(now);
    else {
      const ms = this.#msFor(what);
      this.due = ms > 0 ? now + ms : Infinity;
    }
  }

  /** The exchange is over. */
  stop(): void {
    this.#forget();
  }

  #msFor(what: Exclude<Awaited, "client">): number {
    switch (what) {
      case "nothing":
        return 0;
      case "handshake":
        return this.#times.handshakeTimeoutMs;
      case "response":
        return this.#times.responseTimeoutMs;
      default:
        return this.#times.bodyTimeoutMs;
    }
  }

  onDue(now: number): void {
    // A slow reader has its time anew with every byte, whatever else is waited for.
    const asks = this.#waiting.waitsForClient && this.#backlog.waits;
    if (!asks || this.#backlog.isLate(now, takenBytes(this.#client))) return this.#waiting.onLate();
    this.due = this.#backlog.nextLook(now);
  }
}

/** What an exchange has got so far: its call, the request's body, the answer. */
export interface Progress {
  call: { readonly complete: boolean } | undefined;
  body: { readonly blocked: boolean } | undefined;
  answer: { readonly blocked: boolean } | undefined;
}

/** Whose turn it is when the time is up. */
export function lateSide(phase: Phase, { call, body, answer }: Progress): "client" | "upstream" {
  const uploadBlocked = body?.blocked === true;
  if (phase === "request_body") return uploadBlocked ? "upstream" : "client";
  if (phase !== "response_body") return "upstream";
  // An upstream that takes nothing because nothing is taken from it is not the one that is late.
  return (call?.complete && !uploadBlocked) || answer?.blocked ? "client" : "upstream";
}
