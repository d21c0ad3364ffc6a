// How long a client may take for a request, and be idle between two. Made by listener.ts for each connection. Node has
// timers of its own for that, which fire before what has arrived is read: behind a pause of this process (SIGSTOP, a
// starved machine) they end connections that are in time. On the shared clock it is read first, then judged.

import { departed, UnreadWatch } from "../core/departed.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import type { Connection } from "./connection.ts";

/** Times in milliseconds; 0 means no limit. */
export interface ClientTimes {
  headersTimeoutMs: number;
  /** The whole request, its head included. */
  requestTimeoutMs: number;
  /** A connection that is idle for longer is closed. */
  clientKeepAliveMs: number;
}

/** Who ends a connection. */
export interface ClientJudge {
  /** A head, or the rest of a request, did not come in time. */
  onLate(connection: Connection): void;
  /** No request came for as long as is waited for one. */
  onIdle(connection: Connection): void;
}

/** An idle client has so much longer than it is told: what it sends in its last moment takes time to arrive. */
const GRACE_MS = 1000;
/** A head that begins on an idle connection is noticed within so many milliseconds: node does not tell of it. */
const LOOK_MS = 5000;

/** The deadlines of a connection. */
export class ClientLimits implements Deadline {
  due: number = Infinity;
  readonly #times: ClientTimes;
  readonly #connection: Connection;
  readonly #judge: ClientJudge;
  readonly #lookMs: number;
  readonly #clock: Clock;
  #unread: UnreadWatch | undefined;
  #forget: (() => void) | undefined;
  #waitsFor: "head" | "body" | "request" = "head";
  /** When what is waited for began. */
  #since = 0;
  #bodyDue = Infinity;
  #bytesRead = 0;

  /** The head is waited for from now on. */
  constructor(clock: Clock, times: ClientTimes, connection: Connection, judge: ClientJudge) {
    this.#clock = clock;
    this.#times = times;
    this.#connection = connection;
    this.#judge = judge;
    this.#lookMs = Math.min(LOOK_MS, headMs(times) / 4);
    this.#forget = clock.watch(this);
    this.#since = performance.now();
    this.due = this.#since + headMs(times);
  }

  /** The head of a request has come; the client may owe its body. */
  onHead(): void {
    if (this.#waitsFor === "request") this.#since = performance.now();
    this.#waitsFor = "body";
    this.#bodyDue = this.#times.requestTimeoutMs > 0 ? this.#since + this.#times.requestTimeoutMs : Infinity;
    this.due = this.#bodyDue;
  }

  /** All answers are out: the next request is waited for. */
  onRest(): void {
    this.#waitsFor = "request";
    this.#look();
  }

  /** Nothing is read from the client any more. */
  onUnread(): void {
    const connection = this.#connection;
    this.#unread ??= new UnreadWatch(
      this.#clock,
      () => departed(connection.socket),
      (how) => connection.onDeparted(how),
    );
    this.#unread.begin();
  }

  /** The client is read from again, and so what it does is noticed. */
  onReadOn(): void {
    this.#unread?.over();
  }

  /** The connection has closed, or is no HTTP any more. */
  stop(): void {
    this.#unread?.forget();
    this.#forget?.();
    this.#forget = undefined;
    this.due = Infinity;
  }

  onDue(now: number): void {
    const connection = this.#connection;
    if (this.#waitsFor === "head") return this.#judge.onLate(connection);
    if (connection.owesBody && now >= this.#bodyDue) return this.#judge.onLate(connection);
    if (this.#waitsFor === "body") return;
    if (connection.isInHead) {
      this.#waitsFor = "head";
      this.#since = now;
      this.due = now + headMs(this.#times);
    } else if (connection.socket.bytesRead !== this.#bytesRead) this.#look();
    else if (now >= this.#since + keptMs(this.#times)) this.#judge.onIdle(connection);
    else this.due = this.#nextLook(now);
  }

  /** The time of an idle client begins. Behind an early answer each piece of the upload begins it anew. */
  #look(): void {
    this.#connection.beginRest();
    // Not the clock's time, which is that of the last tick: no connection is closed before it has had all of its time.
    this.#since = performance.now();
    this.#bytesRead = this.#connection.socket.bytesRead;
    this.due = this.#nextLook(this.#since);
  }

  #nextLook(now: number): number {
    return Math.min(now + this.#lookMs, this.#since + keptMs(this.#times));
  }
}

function keptMs({ clientKeepAliveMs }: ClientTimes): number {
  return clientKeepAliveMs > 0 ? clientKeepAliveMs + GRACE_MS : Infinity;
}

/** The time for a whole request is over for its head, too. */
function headMs({ headersTimeoutMs, requestTimeoutMs }: ClientTimes): number {
  return Math.min(headersTimeoutMs || Infinity, requestTimeoutMs || Infinity);
}
