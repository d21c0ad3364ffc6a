// The idle connections to one upstream. Called by upstream.ts only.
// A pooled connection is a guess that the far side still wants it, so every rule here is about doubt.

import { cut } from "../core/sockets.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import type { ConnectionUser, UpstreamConnection } from "./connection.ts";
import { promisedFrom, type Promised, Trust } from "./trust.ts";

/** The user of a connection that nobody uses. */
class Idle implements ConnectionUser {
  readonly connection: UpstreamConnection;
  readonly since: number;
  readonly until: number;
  readonly promised: Promised;
  readonly #pool: Pool;

  constructor(pool: Pool, connection: UpstreamConnection, since: number, until: number, promised: Promised) {
    this.#pool = pool;
    this.connection = connection;
    this.since = since;
    this.until = until;
    this.promised = promised;
  }

  /** Bytes that nobody asked for would be taken for the next answer: response smuggling. */
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
 * More are not kept, the oldest goes: a POST that dials afresh leaves a connection behind, so their number would
 * otherwise grow with the rate of POSTs.
 */
export const MAX_IDLE = 128;

/** Idle keep-alive connections, youngest first: the old ones at the bottom age out. */
export class Pool implements Deadline {
  due: number = Infinity;
  readonly #clock: Clock;
  readonly #recycleMs: number;
  readonly #idle: Idle[] = [];
  readonly #trust = new Trust();
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
      if (!connection.isUsable) this.#judge(idle, now);
      else if (idle.until > now) return reused(idle, now);
      cut(connection.socket);
    }
  }

  /**
   * Takes the youngest for a request of so many bytes that may be sent only once. Undefined unless the upstream has
   * promised to keep it for longer, keeps its promises, and has said nothing on it yet.
   */
  takeOnce(bytes: number): UpstreamConnection | undefined {
    const now = performance.now();
    if (!this.offersOnce(bytes, now)) return undefined;
    const idle = this.#idle.pop();
    if (!idle) return undefined;
    idle.connection.use(undefined);
    if (idle.connection.isQuiet) return reused(idle, now);
    this.#trust.caught(now);
    cut(idle.connection.socket);
    return undefined;
  }

  /** Is there one for a request of so many bytes that may be sent only once? */
  offersOnce(bytes: number, now: number = performance.now()): boolean {
    const idle = this.#idle.at(-1);
    if (!idle || !this.#trust.holds(now)) return false;
    const { connection, promised, until } = idle;
    return Math.min(promised.reliedUntil, until) > now && connection.isUsable && bytes <= connection.onceBytes;
  }

  /** One that was taken broke before anything of an answer came on it. */
  broke(): void {
    this.#trust.caught(performance.now());
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
    const idle = new Idle(this, connection, now, now + keepMs, promisedFrom(now, hintMs));
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

  /** The upstream has ended one that is here, or written to it. */
  lost(idle: Idle): void {
    this.#judge(idle, performance.now());
    this.drop(idle);
  }

  /** Was this one, which is of no use any more, to be kept for longer? */
  #judge({ promised }: Idle, now: number): void {
    if (now < promised.keptUntil) this.#trust.caught(now);
  }

  /** Ends one that is here. */
  drop(idle: Idle | undefined): void {
    if (!idle) return;
    this.#idle.splice(this.#idle.indexOf(idle), 1);
    idle.connection.use(undefined);
    cut(idle.connection.socket);
  }
}

function reused({ connection, since }: Idle, now: number): UpstreamConnection {
  connection.reused = true;
  connection.idleMs = now - since;
  return connection;
}
