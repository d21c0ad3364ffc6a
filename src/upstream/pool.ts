// The pool: idle keep-alive connections to one upstream. Called by upstream.ts only.
// The upstream may close an idle connection at any time, so the rules here decide when one is still safe to use.

import type { Membership } from "../core/bag.ts";
import { cut } from "../core/sockets.ts";
import { Deadline, type Clock } from "../core/timer.ts";
import type { ConnectionUser, UpstreamConnection } from "./connection.ts";
import { promisedFrom, type Promised, Trust } from "./trust.ts";

/** An idle connection in the pool; is its current user. */
class Idle implements ConnectionUser {
  readonly connection: UpstreamConnection;
  readonly since: number;
  readonly until: number;
  readonly #hintMs: number | undefined;
  readonly #pool: Pool;

  constructor(pool: Pool, connection: UpstreamConnection, since: number, until: number, hintMs: number | undefined) {
    this.#pool = pool;
    this.connection = connection;
    this.since = since;
    this.until = until;
    this.#hintMs = hintMs;
  }

  get promised(): Promised {
    return promisedFrom(this.since, this.#hintMs);
  }

  /** Bytes on an idle connection would be taken for the next response (response smuggling): drop the connection. */
  onData(): void {
    this.#pool.lost(this);
  }

  onDrain(): void {}

  onFin(): void {
    this.#pool.lost(this);
  }

  onClosed(): void {
    this.#pool.lost(this);
  }
}

/**
 * Max idle connections; the oldest is dropped. A POST on a fresh connection leaves that in the pool, so the number
 * would otherwise grow with the rate of POSTs.
 */
export const MAX_IDLE = 128;

/** A stack of idle connections: the youngest is used first, and the oldest time out. */
export class Pool extends Deadline {
  readonly #clock: Clock;
  readonly #recycleMs: number;
  readonly #idle: Idle[] = [];
  readonly #trust = new Trust();
  #watched: Membership | undefined;

  /** @param recycleMs how long a connection may be idle before it is closed rather than reused. */
  constructor(clock: Clock, recycleMs: number) {
    super(clock);
    this.#clock = clock;
    this.#recycleMs = recycleMs;
  }

  get size(): number {
    return this.#idle.length;
  }

  /** Takes the youngest connection that can be used. */
  take(): UpstreamConnection | undefined {
    const now = performance.now();
    for (;;) {
      const idle = this.#idle.pop();
      if (!idle) return undefined;
      const { connection } = idle;
      connection.user = undefined;
      if (!connection.isUsable) this.#judge(idle, now);
      else if (idle.until > now) return reused(idle, now);
      cut(connection.socket);
    }
  }

  /**
   * Takes the youngest connection for a request of `bytes` bytes that may be sent only once. Undefined unless the
   * upstream has promised to keep it open (Keep-Alive), and keeps its promises (trust.ts).
   */
  takeOnce(bytes: number): UpstreamConnection | undefined {
    const now = performance.now();
    if (!this.offersOnce(bytes, now)) return undefined;
    const idle = this.#idle.pop();
    if (idle) idle.connection.user = undefined;
    return idle && reused(idle, now);
  }

  /** Is there such a connection? */
  offersOnce(bytes: number, now: number = performance.now()): boolean {
    const idle = this.#idle.at(-1);
    if (!idle || !this.#trust.holds(now)) return false;
    const { connection, promised, until } = idle;
    return Math.min(promised.reliedUntil, until) > now && connection.isUsable && bytes <= connection.onceBytes;
  }

  /** A connection from the pool broke before any byte of a response. */
  broke(): void {
    this.#trust.caught(performance.now());
  }

  /** Adds a connection whose exchange is complete. `hintMs` is the upstream's `Keep-Alive: timeout`. */
  put(connection: UpstreamConnection, hintMs: number | undefined): void {
    // A fifth less than the upstream's timeout: its timer started earlier, and its FIN takes time to arrive.
    const keepMs = Math.min(this.#recycleMs, hintMs === undefined ? Infinity : hintMs * 0.8);
    if (keepMs <= 0 || !connection.isUsable) {
      connection.user = undefined;
      return cut(connection.socket);
    }
    if (this.#idle.length >= MAX_IDLE) this.drop(this.#idle[0]);
    const now = performance.now();
    const idle = new Idle(this, connection, now, now + keepMs, hintMs);
    this.#idle.push(idle);
    connection.user = idle;
    // The last exchange may have paused the socket.
    if (connection.socket.isPaused()) connection.socket.resume();
    this.due = Math.min(this.due, now + keepMs);
    this.#watched ??= this.#clock.watch(this);
  }

  /** Closes connections that have been idle for too long. */
  onDue(now: number): void {
    for (const idle of this.#idle.filter(({ until }) => until <= now)) this.drop(idle);
    this.due = Math.min(...this.#idle.map(({ until }) => until));
    // Without connections the pool needs no clock.
    if (this.#idle.length === 0) this.#rest();
  }

  /** Closes all connections: the upstream was lost, or this proxy stops. */
  clear(): void {
    for (const idle of this.#idle.slice()) this.drop(idle);
    this.#rest();
  }

  #rest(): void {
    this.#watched?.leave();
    this.#watched = undefined;
    this.due = Infinity;
  }

  /** The upstream has closed an idle connection, or sent bytes on it. */
  lost(idle: Idle): void {
    this.#judge(idle, performance.now());
    this.drop(idle);
  }

  /** Had the upstream promised to keep this connection open for longer? Then it is not trusted for a while. */
  #judge({ promised }: Idle, now: number): void {
    if (now < promised.keptUntil) this.#trust.caught(now);
  }

  /** Closes an idle connection. */
  drop(idle: Idle | undefined): void {
    if (!idle) return;
    this.#idle.splice(this.#idle.indexOf(idle), 1);
    idle.connection.user = undefined;
    cut(idle.connection.socket);
  }
}

function reused({ connection, since }: Idle, now: number): UpstreamConnection {
  connection.reused = true;
  connection.idleMs = now - since;
  return connection;
}
