// The one deadline of an exchange: depends on what the exchange waits for at the moment. Made by exchange.ts, which
// says what it waits for, and ends when the deadline has passed. Also decides which side was late.

import type { Socket } from "node:net";
import type { Membership } from "../core/bag.ts";
import { Backlog } from "../core/backlog.ts";
import type { Phase } from "../core/outcome.ts";
import { takenBytes } from "../core/taken.ts";
import { Deadline, type Clock } from "../core/timer.ts";

/** Time limits of an exchange in milliseconds; 0 means none. */
export interface ExchangeTimes {
  /** From the end of the request to the response's head. */
  responseTimeoutMs: number;
  /** From an upgrade to its answer. */
  handshakeTimeoutMs: number;
  /** Without a byte of a body, in either direction. */
  bodyTimeoutMs: number;
}

/**
 * What an exchange waits for. `nothing`: no limit (the wait for a connection is limited by --hold; an event stream may
 * be silent). `client`: that the client takes bytes. The others: a part of the request or of the response.
 */
export type Awaited = "nothing" | "handshake" | "response" | "body" | "client";

/** The owner of the deadline. */
export interface Waiting {
  /** Does the exchange wait for the client only: is the response complete, or paused because the client is slow? */
  readonly waitsForClient: boolean;
  onLate(): void;
}

/** The one deadline of an exchange. */
export class Limits extends Deadline {
  readonly #clock: Clock;
  readonly #times: ExchangeTimes;
  readonly #waiting: Waiting;
  readonly #client: Socket;
  readonly #backlog: Backlog;
  readonly #watched: Membership;

  constructor(clock: Clock, times: ExchangeTimes, waiting: Waiting, client: Socket) {
    super(clock);
    this.#clock = clock;
    this.#times = times;
    this.#waiting = waiting;
    this.#client = client;
    this.#backlog = new Backlog(times.bodyTimeoutMs);
    this.#watched = clock.watch(this);
  }

  /** Starts the timer for what the exchange waits for now. */
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
    this.#watched.leave();
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
    // A slow client has the whole time again after each byte it takes, whatever else the exchange waits for.
    const asks = this.#waiting.waitsForClient && this.#backlog.waits;
    if (!asks || this.#backlog.isLate(now, takenBytes(this.#client))) return this.#waiting.onLate();
    this.due = this.#backlog.nextLook(now);
  }
}

/** The parts of an exchange that decide which side is late. */
export interface Progress {
  call: { readonly complete: boolean } | undefined;
  body: { readonly blocked: boolean } | undefined;
  answer: { readonly blocked: boolean } | undefined;
}

/** Which side is late when the deadline has passed? */
export function lateSide(phase: Phase, { call, body, answer }: Progress): "client" | "upstream" {
  const uploadBlocked = body?.blocked === true;
  if (phase === "request_body") return uploadBlocked ? "upstream" : "client";
  if (phase !== "response_body") return "upstream";
  // An upstream may take no upload because the client takes no response: then the client is late.
  return (call?.complete && !uploadBlocked) || answer?.blocked ? "client" : "upstream";
}
