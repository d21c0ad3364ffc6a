// One upstream: dials it, keeps its idle connections, and has requests held while it is away.
// Called by the relay for plain requests and tunnels alike; knows connections, never HTTP.

import { faultOf } from "../core/errors.ts";
import { cut } from "../core/sockets.ts";
import type { Clock } from "../core/timer.ts";
import type { Address, Target } from "../core/target.ts";
import { dial, dialCodeOf, type UpstreamConnection } from "./connection.ts";
import { HeldQueue, type Asker, type Dialled, type HeldCount, type Waiter } from "./held.ts";
import { Pool } from "./pool.ts";
import type { Whereabouts } from "./whereabouts.ts";

/**
 * What an asker does while there is no connection: `hold` waits for the upstream to come back, `try` dials once and has
 * no time for a slow dial, `none` does not even dial.
 */
export type Patience = "hold" | "try" | "none";

/** What kind of connection is asked for. */
export interface Want {
  /** Will one from the pool do? Else it is a fresh one. */
  pooled: boolean;
  /** Of a request that may be sent only once, and could be sent at once: its bytes. One from the pool has to be safe. */
  onceBytes: number | undefined;
  /** May each side close by itself (a tunnel)? */
  halfOpen: boolean;
  patience: Patience;
}

/** One try for somebody who is not held, of an upstream that is known to be down. */
const TRY_MS = 300;

/** What is known of an upstream from its traffic; the link's state machine listens. */
export interface UpstreamWatcher {
  connected(): void;
  /** Could not connect. A reset after that is no failure of the link: one bad route must not cut all other streams. */
  failed(code: string): void;
  /** Its backlog is full: it is there, or was when it stopped taking connections. */
  busy(): void;
  /** It answered a request, at this time of the clock. */
  answered(now: number): void;
  /**
   * It sent something on a connection that stood before. Nothing new is proved by that: a server that is closing
   * answers pings and takes no connection any more.
   */
  heard(now: number): void;
}

/** The numbers of one upstream, from the options. */
export interface UpstreamOptions {
  connectTimeoutMs: number;
  recycleMs: number;
  holdMs: number;
  keepAliveMs: number;
}

const nothingToGiveUp = (): void => {};

/** One upstream. */
export class Upstream {
  readonly name: string;
  readonly target: Target;
  readonly #where: Whereabouts;
  readonly #options: UpstreamOptions;
  readonly #clock: Clock;
  readonly #pool: Pool;
  readonly #watcher: UpstreamWatcher;
  readonly #held: HeldQueue;
  /** Grows when nobody listens any more. A connection of an earlier era leads to a process that is ending. */
  #era = 0;
  #closed = false;
  #draining = false;

  constructor(
    name: string,
    target: Target,
    parts: {
      options: UpstreamOptions;
      clock: Clock;
      heldCount: HeldCount;
      watcher: UpstreamWatcher;
      where: Whereabouts;
    },
  ) {
    this.name = name;
    this.target = target;
    this.#options = parts.options;
    this.#where = parts.where;
    this.#clock = parts.clock;
    this.#watcher = parts.watcher;
    this.#pool = new Pool(parts.clock, parts.options.recycleMs);
    this.#held = new HeldQueue({ name, clock: parts.clock, count: parts.heldCount }, (halfOpen, done) =>
      this.#dial(halfOpen, done),
    );
  }

  get held(): number {
    return this.#held.size;
  }

  /**
   * Gets a connection: a pooled one at once, else a fresh one, else waits for the upstream to come back.
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
    // Others wait already: overtaking them would serve late comers first, and they try for all.
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

  /** Takes back a connection after a complete exchange. `hintMs`: the upstream's own keep-alive timeout. */
  putBack(connection: UpstreamConnection, hintMs: number | undefined): void {
    // One that was dialled for a tunnel would not close together with its upstream.
    if (this.#closed || connection.socket.allowHalfOpen || connection.era !== this.#era) cut(connection.socket);
    else this.#pool.put(connection, hintMs);
  }

  /** Is there a pooled connection for a request of so many bytes that may be sent only once? */
  offersOnce(bytes: number): boolean {
    return this.#pool.offersOnce(bytes);
  }

  /** A pooled connection broke under a request, before anything of an answer came. */
  brokeUnanswered(): void {
    this.#pool.broke();
  }

  /**
   * It answered a request on this connection. A server that closes answers what it has begun, and takes no connection
   * any more: its answers do not make the link up.
   */
  answered(connection: UpstreamConnection, now: number): void {
    if (connection.era !== this.#era) return this.#watcher.heard(now);
    this.#watcher.answered(now);
    this.#held.answered();
  }

  /** A sign of life of a connection that stood before: a pong. */
  heard(now: number): void {
    this.#watcher.heard(now);
  }

  /** The upstream answered a probe: whoever waits is served now rather than at the next try. */
  isBack(): void {
    this.#held.tryOne();
  }

  /**
   * It refused a connection: nobody listens. What is in flight may still be answered, but no further request is sent to
   * that process: node's servers do not end while requests keep coming on a connection that stood before.
   */
  refused(): void {
    this.#era += 1;
    this.#pool.clear();
  }

  /** Its idle connections are of a process that is gone. */
  dropIdle(): void {
    this.#pool.clear();
  }

  /** Holds nobody any more: who waits is answered now, who comes gets one try. */
  drain(): void {
    this.#draining = true;
    this.#held.drain();
  }

  /** Ends idle connections and answers whoever is held. */
  close(): void {
    this.#closed = true;
    this.#pool.clear();
    this.drain();
  }

  /** Tries once to connect, wherever it may be; returns the function that gives up. */
  #dial(halfOpen: boolean, done: Dialled, withinMs: number = this.#options.connectTimeoutMs): () => void {
    const { address } = this.#where;
    let giveUp = this.#dialAt(address, { halfOpen, withinMs }, (result) => {
      const next = typeof result === "string" ? this.#where.alternative(address, result) : undefined;
      if (!next) return this.#dialled(address, result, done);
      giveUp = this.#dialAt(next, { halfOpen, withinMs }, (second) => {
        const refused = typeof second === "string";
        // The address that was meant is the one whose failure is told.
        this.#dialled(refused ? address : next, refused ? result : second, done);
      });
    });
    return () => giveUp();
  }

  /** What becomes known by a try to connect. */
  #dialled(address: Address, result: UpstreamConnection | string, done: Dialled): void {
    if (typeof result === "string") {
      const fault = faultOf(result, "path" in address);
      this.#held.refused(fault);
      if (fault === "gone") this.#watcher.failed(result);
      else if (fault === "busy") this.#watcher.busy();
    } else {
      result.era = this.#era;
      this.#where.reached(address);
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
      // It would keep whoever asked alive for as long as the connection lives, and a tunnel lives for weeks.
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
