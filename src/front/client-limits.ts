// The time limits of one client connection: for a request to arrive, and for idleness. Made by listener.ts.
// Node's own timers are not used: after a pause of this process (SIGSTOP, a starved machine) they fire before the bytes
// that have arrived are read, and end connections that are in time. The shared clock lets node read first (timer.ts).

import type { Membership } from "../core/bag.ts";
import { departed, UnreadWatch } from "../core/departed.ts";
import { Deadline, type Clock } from "../core/timer.ts";
import type { Connection } from "./connection.ts";

/** Times in milliseconds; 0 means no limit. */
export interface ClientTimes {
  headersTimeoutMs: number;
  /** The whole request, its head included. */
  requestTimeoutMs: number;
  /** A connection that is idle for longer is closed. */
  clientKeepAliveMs: number;
}

/** Ends a connection whose time is over. */
export interface ClientJudge {
  /** A head, or the rest of a request, did not arrive in time. */
  onLate(connection: Connection): void;
  /** The connection was idle for `clientKeepAliveMs`. */
  onIdle(connection: Connection): void;
}

/**
 * An idle connection is kept this much longer than `Keep-Alive: timeout` says: a request sent in time needs to arrive.
 */
const GRACE_MS = 1000;
/**
 * Time between two checks whether an idle client has begun to send a head: node has no event for that. Milliseconds.
 */
const LOOK_MS = 5000;

/** The deadlines of one connection. */
export class ClientLimits extends Deadline {
  readonly #times: ClientTimes;
  readonly #connection: Connection;
  readonly #judge: ClientJudge;
  readonly #lookMs: number;
  readonly #clock: Clock;
  #unread: UnreadWatch | undefined;
  #watched: Membership | undefined;
  #waitsFor: "head" | "body" | "request" = "head";
  /** When the wait for the head, the body or the next request began. */
  #since = 0;
  #bodyDue = Infinity;
  #bytesRead = 0;

  /** Starts the timer for the first head. */
  constructor(clock: Clock, times: ClientTimes, connection: Connection, judge: ClientJudge) {
    super(clock);
    this.#clock = clock;
    this.#times = times;
    this.#connection = connection;
    this.#judge = judge;
    this.#lookMs = Math.min(LOOK_MS, headMs(times) / 4);
    this.#watched = clock.watch(this);
    this.#since = performance.now();
    this.due = this.#since + headMs(times);
  }

  /** A head has arrived: starts the timer for its body. */
  onHead(): void {
    if (this.#waitsFor === "request") this.#since = performance.now();
    this.#waitsFor = "body";
    this.#bodyDue = this.#times.requestTimeoutMs > 0 ? this.#since + this.#times.requestTimeoutMs : Infinity;
    this.due = this.#bodyDue;
  }

  /** All answers are sent: starts the idle timer. */
  onRest(): void {
    this.#waitsFor = "request";
    this.#look();
  }

  /** The socket was paused: checks from now on whether the client has left (core/departed.ts). */
  onUnread(): void {
    const connection = this.#connection;
    this.#unread ??= new UnreadWatch(
      this.#clock,
      () => departed(connection.socket),
      (how) => connection.onDeparted(how),
    );
    this.#unread.begin();
  }

  /** The socket was resumed: stops these checks. */
  onReadOn(): void {
    this.#unread?.over();
  }

  /** Stops all timers: the connection has closed, or has become a tunnel. */
  stop(): void {
    this.#unread?.stop();
    this.#watched?.leave();
    this.#watched = undefined;
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

  /** Restarts the idle timer. After an early answer each piece of the upload that still comes restarts it. */
  #look(): void {
    this.#connection.beginRest();
    // Not clock.now, which is up to one tick old: the client must have the whole time it was told.
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

/** The limit for a head: --headers-timeout, or --request-timeout if that is shorter. */
function headMs({ headersTimeoutMs, requestTimeoutMs }: ClientTimes): number {
  return Math.min(headersTimeoutMs || Infinity, requestTimeoutMs || Infinity);
}
