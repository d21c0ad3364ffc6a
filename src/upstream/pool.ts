// The idle connections to one upstream. Called by upstream.ts only.
// A pooled connection is a guess that the far side still wants it, so every rule here is about doubt.

import { cut } from "../core/sockets.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import type { ConnectionUser, UpstreamConnection } from "./connection.ts";

/** The user of a connection that nobody uses. */
class Idle implements ConnectionUser {
  readonly connection: UpstreamConnection;
  readonly since: number;
  readonly until: number;
  readonly #pool: Pool;

  constructor(pool: Pool, connection: UpstreamConnection, since: number, until: number) {
    this.#pool = pool;
    this.connection = connection;
    this.since = since;
    this.until = until;
  }

  /** Bytes that nobody asked for would be taken for the next answer: response smuggling. */
  onData(): void {
    this.#pool.drop(this);
  }

  onDrain(): void {}

  onFin(): void {
    this.#pool.drop(this);
  }

  onClosed(): void {
    this.#pool.drop(this);
  }
}

/**
 * More are not kept, the oldest goes: every POST dials afresh and leaves a connection behind, so their number would
 * otherwise grow with the rate of POSTs.
 */
export const MAX_IDLE = 128;

/** Idle keep-alive connections, youngest first: the old ones at the bottom age out. */
export class Pool implements Deadline {
  due: number = Infinity;
  readonly #clock: Clock;
  readonly #recycleMs: number;
  readonly #idle: Idle[] = [];
  #forget: (() => void) | undefined;

  /** @param recycleMs how long a connection may be idle before it is closed rather than reused. */
  constructor(clock: Clock, recycleMs: number) {
    this.#clock = clock;
    this.#recycleMs = recycleMs;
  }

  get size(): number {
    return this.#idle.length;
  }

  /** Takes the youngest that can be used. */
  take(): UpstreamConnection | undefined {
    const now = performance.now();
    for (;;) {
      const idle = this.#idle.pop();
      if (!idle) return undefined;
      const { connection } = idle;
      connection.use(undefined);
      if (idle.until > now && connection.isUsable) {
        connection.reused = true;
        connection.idleMs = now - idle.since;
        return connection;
      }
      cut(connection.socket);
    }
  }

  /** Puts back a connection whose exchange is complete. `hintMs` is the upstream's `Keep-Alive: timeout`. */
  put(connection: UpstreamConnection, hintMs: number | undefined): void {
    // A fifth less than the upstream says: its timer started before ours, and a FIN takes time to arrive.
    const keepMs = Math.min(this.#recycleMs, hintMs === undefined ? Infinity : hintMs * 0.8);
    if (keepMs <= 0 || !connection.isUsable) {
      connection.use(undefined);
      return cut(connection.socket);
    }
    if (this.#idle.length >= MAX_IDLE) this.drop(this.#idle[0]);
    const now = performance.now();
    const idle = new Idle(this, connection, now, now + keepMs);
    this.#idle.push(idle);
    connection.use(idle);
    // Its last user may have stopped reading.
    if (connection.socket.isPaused()) connection.socket.resume();
    this.due = Math.min(this.due, now + keepMs);
    this.#forget ??= this.#clock.watch(this);
  }

  /** Closes what has been idle for too long. */
  onDue(now: number): void {
    for (const idle of this.#idle.filter(({ until }) => until <= now)) this.drop(idle);
    this.due = Math.min(...this.#idle.map(({ until }) => until));
    // An idle proxy must not wake up for an empty pool.
    if (this.#idle.length === 0) this.#rest();
  }

  /** Closes all of them: the upstream went away, or we do. */
  clear(): void {
    for (const idle of this.#idle.slice()) this.drop(idle);
    this.#rest();
  }

  #rest(): void {
    this.#forget?.();
    this.#forget = undefined;
    this.due = Infinity;
  }

  /** Ends one that is here. */
  drop(idle: Idle | undefined): void {
    if (!idle) return;
    this.#idle.splice(this.#idle.indexOf(idle), 1);
    idle.connection.use(undefined);
    cut(idle.connection.socket);
  }
}
