// One upstream: dials it, pools its idle connections, and holds requests while it cannot be reached.
// Called by exchange, for plain requests and handshakes alike; knows connections, not HTTP.

import { faultOf } from "../core/errors.ts";
import { cut } from "../core/sockets.ts";
import type { Clock } from "../core/timer.ts";
import type { Address } from "../core/target.ts";
import { dial, dialCodeOf, type UpstreamConnection } from "./connection.ts";
import { HeldQueue, type Asker, type Dialled, type HeldCount, type Waiter } from "./held.ts";
import { Pool } from "./pool.ts";
import type { Whereabouts } from "./whereabouts.ts";

/**
 * What a request does while the upstream is down. `hold`: waits for it to come back. `try`: dials once, for TRY_MS at
 * most. `none`: is refused without a dial.
 */
export type Patience = "hold" | "try" | "none";

/** The kind of connection that a request asks for. */
export interface Want {
  /** May the connection come from the pool? Otherwise it is a fresh one. */
  pooled: boolean;
  /** The length of a request that may be sent only once, but in one write: it may use a safe one from the pool. */
  onceBytes: number | undefined;
  /** Should the socket allow half-open connections (for a tunnel)? */
  halfOpen: boolean;
  patience: Patience;
}

/** Time limit of the dial with `try`, in milliseconds. */
const TRY_MS = 300;

/** Is told what the traffic shows about the upstream. Implemented by monitor.ts. */
export interface UpstreamWatcher {
  /** A dial succeeded. */
  connected(): void;
  /** A dial failed. Later resets are not reported: one failing route must not cut all other streams. */
  failed(code: string): void;
  /** The accept queue is full: the upstream is there, or has stopped accepting. */
  busy(): void;
  /** The upstream answered a request, at this time of the clock. */
  answered(now: number): void;
  /**
   * The upstream sent bytes on an open connection. That does not prove that it accepts new ones: a server that is
   * closing still answers pings.
   */
  heard(now: number): void;
}

/** The options of one upstream, in milliseconds. */
export interface UpstreamOptions {
  connectTimeoutMs: number;
  recycleMs: number;
  holdMs: number;
  keepAliveMs: number;
}

/** The era of a connection that gets no second request. */
const NO_ERA = -1;

const nothingToGiveUp = (): void => {};

/** One upstream. */
export class Upstream {
  readonly name: string;
  readonly #where: Whereabouts;
  readonly #options: UpstreamOptions;
  readonly #clock: Clock;
  readonly #pool: Pool;
  readonly #watcher: UpstreamWatcher;
  readonly #held: HeldQueue;
  /** Counts calls of leaveConnections(). A connection of an earlier era gets no further request. */
  #era = 0;
  #closed = false;
  #draining = false;

  constructor(
    name: string,
    parts: {
      options: UpstreamOptions;
      clock: Clock;
      heldCount: HeldCount;
      watcher: UpstreamWatcher;
      where: Whereabouts;
    },
  ) {
    this.name = name;
    this.#options = parts.options;
    this.#where = parts.where;
    this.#clock = parts.clock;
    this.#watcher = parts.watcher;
    this.#pool = new Pool(parts.clock, parts.options.recycleMs);
    this.#held = new HeldQueue({ name, clock: parts.clock, count: parts.heldCount }, (halfOpen, done) =>
      this.#dial(halfOpen, done),
    );
  }

  /** Where it is, as text: `127.0.0.1:4000`. */
  get label(): string {
    return this.#where.label;
  }

  get held(): number {
    return this.#held.size;
  }

  /**
   * Gets a connection: from the pool, or by a dial; or holds the request until the upstream is back.
   * Returns the function that gives up (the client left).
   */
  acquire(asker: Asker, { pooled, onceBytes, halfOpen, patience }: Want): () => void {
    const idle =
      onceBytes !== undefined ? this.#pool.takeOnce(onceBytes) : pooled && !halfOpen ? this.#pool.take() : undefined;
    if (idle) {
      asker.onGranted(idle);
      return nothingToGiveUp;
    }
    const arrived = performance.now();
    const waiter: Waiter = { asker, halfOpen, arrived, deadline: Infinity, cancelDial: undefined };
    const holds = patience === "hold" && this.#options.holdMs > 0;
    // Other requests are held already: this one queues behind them, and their dials serve it, too.
    if (this.#held.size > 0 && patience === "hold") {
      this.#hold(waiter);
    } else if (this.#held.size > 0 || patience === "none") {
      asker.onUnavailable(this.#held.unavailable());
    } else {
      const dialled = (result: UpstreamConnection | string): void => {
        waiter.cancelDial = undefined;
        if (typeof result !== "string") return asker.onGranted(result);
        asker.onTried(result);
        if (holds && !this.#draining) this.#hold(waiter);
        else asker.onUnavailable(this.#held.unavailable());
      };
      const { connectTimeoutMs } = this.#options;
      const withinMs = patience === "try" ? Math.min(TRY_MS, connectTimeoutMs) : connectTimeoutMs;
      waiter.cancelDial = this.#dial(halfOpen, dialled, withinMs);
    }
    return () => {
      waiter.cancelDial?.();
      this.#held.leave(waiter);
    };
  }

  #hold(waiter: Waiter): void {
    waiter.deadline = waiter.arrived + Math.max(this.#options.holdMs, waiter.asker.patienceMs);
    this.#held.add(waiter);
  }

  /** Puts a connection into the pool after a complete exchange. `hintMs` is the upstream's `Keep-Alive: timeout`. */
  putBack(connection: UpstreamConnection, hintMs: number | undefined): void {
    // A half-open socket, dialled for a handshake, would not close when the upstream closes.
    if (this.#closed || connection.socket.allowHalfOpen || connection.era !== this.#era) cut(connection.socket);
    else this.#pool.put(connection, hintMs);
  }

  /** Has the pool a safe connection for a request of `bytes` bytes that may be sent only once? */
  offersOnce(bytes: number): boolean {
    return this.#pool.offersOnce(bytes);
  }

  /** A connection from the pool broke before any byte of a response. */
  brokeUnanswered(): void {
    this.#pool.broke();
  }

  /**
   * The upstream answered a request on this connection. A process that no longer listens still answers requests it has
   * begun: such an answer does not make the link `up`.
   */
  answered(connection: UpstreamConnection, now: number): void {
    if (connection.era !== this.#era) return this.#watcher.heard(now);
    this.#watcher.answered(now);
    this.#held.answered();
  }

  /** A sign of life on an open connection: a pong. */
  heard(now: number): void {
    this.#watcher.heard(now);
  }

  /** The upstream is up: dials now for held requests, not at the next tick. */
  isBack(): void {
    this.#held.tryOne();
  }

  /**
   * Sends no further requests on the connections that there are; those in flight may still be answered. Called when the
   * upstream refused a connection (no process listens: a node server that is closing would never end while requests
   * keep coming on them), and when it is dialled at its other address from now on.
   */
  leaveConnections(): void {
    this.#era += 1;
    this.#pool.clear();
  }

  /** The upstream was lost: closes its idle connections. */
  dropIdle(): void {
    this.#pool.clear();
  }

  /** Refuses held requests now. Later requests get one dial, and are not held. */
  drain(): void {
    this.#draining = true;
    this.#held.drain();
  }

  /** Closes idle connections, and refuses held requests. */
  close(): void {
    this.#closed = true;
    this.#pool.clear();
    this.drain();
  }

  /** Dials once, at one address or both (whereabouts.ts); returns the function that gives up. */
  #dial(halfOpen: boolean, done: Dialled, withinMs: number = this.#options.connectTimeoutMs): () => void {
    const { address } = this.#where;
    let giveUp = this.#dialAt(address, { halfOpen, withinMs }, (result) => {
      const next = typeof result === "string" ? this.#where.alternative(address, result) : undefined;
      if (!next) return this.#dialled(address, result, done);
      giveUp = this.#dialAt(next, { halfOpen, withinMs }, (second) => {
        const refused = typeof second === "string";
        // If both fail, the error of the first address is reported.
        this.#dialled(refused ? address : next, refused ? result : second, done);
      });
    });
    return () => giveUp();
  }

  /** Reports the result of a dial to the queue and the watcher. */
  #dialled(address: Address, result: UpstreamConnection | string, done: Dialled): void {
    if (typeof result === "string") {
      const fault = faultOf(result, "path" in address);
      this.#held.refused(fault);
      if (fault === "gone") this.#watcher.failed(result);
      else if (fault === "busy") this.#watcher.busy();
    } else {
      this.#where.reached(address);
      // While this dial was under way, the upstream may have been found at its other address. Then this connection
      // serves the request that waits for it, and no second one.
      result.era = address === this.#where.address ? this.#era : NO_ERA;
      this.#held.reached();
      this.#watcher.connected();
    }
    done(result);
  }

  #dialAt(address: Address, how: { halfOpen: boolean; withinMs: number }, done: Dialled): () => void {
    const connection = dial({
      ...address,
      allowHalfOpen: how.halfOpen,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: this.#options.keepAliveMs,
    });
    const { socket } = connection;
    let settled = false;
    const settle = (failure: string | undefined): void => {
      if (settled) return;
      settled = true;
      inTime();
      // The listener would keep the exchange in memory as long as the connection lives: weeks, for a tunnel.
      socket.off("error", onError);
      if (failure !== undefined) cut(socket);
      done(failure ?? connection);
    };
    const inTime = this.#clock.after(how.withinMs, () => settle("ETIMEDOUT"));
    const onError = (error: Error): void => settle(dialCodeOf(error));
    socket.once("connect", () => settle(undefined));
    socket.once("error", onError);
    return () => {
      if (settled) return;
      settled = true;
      inTime();
      cut(socket);
    };
  }
}
