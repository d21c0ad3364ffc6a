// One upstream: dials it, keeps its idle connections, and holds requests while it is away (SPEC 3.3, 3.4).
// Called by the relay for plain requests and tunnels alike; knows connections, never HTTP.

import { codeOf, Failure, isShortage } from "../core/errors.ts";
import { cut } from "../core/sockets.ts";
import type { Clock } from "../core/timer.ts";
import type { Target } from "../target.ts";
import { dial, type UpstreamConnection } from "./connection.ts";
import { Pool } from "./pool.ts";

/** Who asks for a connection. Exactly one of `onGranted` and `onUnavailable` is called, unless it gives up before. */
export interface Asker {
  onGranted(connection: UpstreamConnection): void;
  onUnavailable(failure: Failure): void;
  /** A try to connect failed with this code; the asker still waits. */
  onTried(code: string): void;
}

/** What kind of connection is asked for. */
export interface Want {
  /** A pooled connection will do if it was idle for less than this, in milliseconds; 0 asks for a fresh one. */
  maxIdleMs: number;
  /** May each side close by itself (a tunnel)? */
  halfOpen: boolean;
}

/** What is known of an upstream from its traffic; the link's state machine listens (SPEC 6). */
export interface UpstreamWatcher {
  connected(): void;
  /** Could not connect. A reset after that is no failure of the link: one bad route must not cut all other streams. */
  failed(code: string): void;
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

/** How many requests are held, over all upstreams (`--max-held`). */
export interface HeldCount {
  held: number;
  readonly max: number;
}

interface Waiter {
  asker: Asker;
  halfOpen: boolean;
  arrived: number;
  deadline: number;
  /** Gives up the dial that is made for it just now, if there is one. */
  cancelDial: (() => void) | undefined;
}

const nothingToGiveUp = (): void => {};

/** Between two tries while requests are held. */
const RETRY_EVERY_MS = 250;
// A server that has just come up has an accept backlog of 128 to 511: more at once would be dropped and cost 1 s.
const MAX_AT_ONCE = 64;

/** One upstream. */
export class Upstream {
  readonly name: string;
  readonly target: Target;
  readonly #options: UpstreamOptions;
  readonly #heldCount: HeldCount;
  readonly #pool: Pool;
  readonly #watcher: UpstreamWatcher;
  /** In order of arrival; the first is the one whose turn it is. */
  #held: Waiter[] = [];
  #retry: NodeJS.Timeout | undefined;
  #dialsForHeld = 0;
  /** How many of those who wait may be served now. */
  #credit = 0;
  /** How many a tick adds when no answers come; 0 while it is away. */
  #step = 0;
  /** Did the last try to connect fail because we have no descriptor left? */
  #short = false;
  #closed = false;
  #draining = false;

  constructor(
    name: string,
    target: Target,
    parts: { options: UpstreamOptions; clock: Clock; heldCount: HeldCount; watcher: UpstreamWatcher },
  ) {
    this.name = name;
    this.target = target;
    this.#options = parts.options;
    this.#heldCount = parts.heldCount;
    this.#watcher = parts.watcher;
    this.#pool = new Pool(parts.clock, parts.options.recycleMs);
  }

  get held(): number {
    return this.#held.length;
  }

  /**
   * Gets a connection: a pooled one at once, else a fresh one, else waits for the upstream to come back.
   * Returns the function that gives up (the client left).
   */
  acquire(asker: Asker, { maxIdleMs, halfOpen }: Want): () => void {
    if (maxIdleMs > 0 && !halfOpen) {
      const pooled = this.#pool.take(maxIdleMs);
      if (pooled) {
        asker.onGranted(pooled);
        return nothingToGiveUp;
      }
    }
    const arrived = performance.now();
    const deadline = arrived + this.#options.holdMs;
    const waiter: Waiter = { asker, halfOpen, arrived, deadline, cancelDial: undefined };
    // Others wait already: overtaking them would serve late comers first.
    if (this.#held.length > 0) {
      this.#hold(waiter);
    } else {
      waiter.cancelDial = this.#dial(halfOpen, (result) => {
        waiter.cancelDial = undefined;
        if (typeof result !== "string") return asker.onGranted(result);
        asker.onTried(result);
        if (this.#options.holdMs > 0 && !this.#draining) this.#hold(waiter);
        else asker.onUnavailable(this.#unavailable());
      });
    }
    return () => {
      waiter.cancelDial?.();
      this.#leave(waiter);
    };
  }

  /** Takes back a connection after a complete exchange. `hintMs`: the upstream's own keep-alive timeout. */
  putBack(connection: UpstreamConnection, hintMs: number | undefined): void {
    // One that was dialled for a tunnel would not close together with its upstream.
    if (this.#closed || connection.socket.allowHalfOpen) cut(connection.socket);
    else this.#pool.put(connection, hintMs);
  }

  /** It answered a request. */
  answered(now: number): void {
    this.#watcher.answered(now);
    if (this.#held.length === 0) return;
    this.#credit = Math.min(MAX_AT_ONCE, this.#credit + 2);
    this.#serveHeld();
  }

  /** A sign of life of a connection that stood before: a pong. */
  heard(now: number): void {
    this.#watcher.heard(now);
  }

  /** The upstream answered a probe: whoever waits is served now rather than at the next try. */
  isBack(): void {
    this.#tryOne();
  }

  /** Its idle connections are of a process that is gone. */
  dropIdle(): void {
    this.#pool.clear();
  }

  /** Holds nobody any more: who waits is answered now, who comes gets one try. */
  drain(): void {
    this.#draining = true;
    clearInterval(this.#retry);
    for (const waiter of this.#held.slice()) {
      waiter.cancelDial?.();
      this.#leave(waiter);
      waiter.asker.onUnavailable(new Failure("draining", { upstream: this.name }));
    }
  }

  /** Ends idle connections and answers whoever is held. */
  close(): void {
    this.#closed = true;
    this.#pool.clear();
    this.drain();
  }

  /** Tries once to connect; calls back with the connection, or with the code of the failure. */
  #dial(halfOpen: boolean, done: (result: UpstreamConnection | string) => void): () => void {
    const { address } = this.target;
    const connection = dial({
      ...address,
      allowHalfOpen: halfOpen,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: this.#options.keepAliveMs,
    });
    const { socket } = connection;
    let settled = false;
    const settle = (failure: string | undefined): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      // It would keep whoever asked alive for as long as the connection lives, and a tunnel lives for weeks.
      socket.off("error", onError);
      if (failure !== undefined) {
        cut(socket);
        this.#step = this.#credit = 0;
        this.#short = isShortage(failure);
        if (!this.#short) this.#watcher.failed(failure);
      } else {
        this.#step ||= 1;
        this.#short = false;
        this.#watcher.connected();
      }
      done(failure ?? connection);
    };
    const timer = setTimeout(() => settle("ETIMEDOUT"), this.#options.connectTimeoutMs);
    const onError = (error: Error): void => settle(codeOf(error));
    socket.once("connect", () => settle(undefined));
    socket.once("error", onError);
    return () => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      cut(socket);
    };
  }

  /** Why there was no connection: it is not there, or we have too many of them. */
  #unavailable(): Failure {
    return new Failure(this.#short ? "too_many" : "upstream_unavailable", { upstream: this.name });
  }

  #hold(waiter: Waiter): void {
    if (this.#heldCount.held >= this.#heldCount.max) {
      return waiter.asker.onUnavailable(new Failure("too_many", { upstream: this.name }));
    }
    this.#heldCount.held += 1;
    // By arrival: the dial of one that came earlier may fail later.
    const after = this.#held.findLastIndex(({ arrived }) => arrived <= waiter.arrived);
    this.#held.splice(after + 1, 0, waiter);
    this.#retry ??= setInterval(() => this.#tryAgain(), RETRY_EVERY_MS);
  }

  #leave(waiter: Waiter): void {
    const index = this.#held.indexOf(waiter);
    if (index < 0) return;
    this.#held.splice(index, 1);
    this.#heldCount.held -= 1;
  }

  #tryAgain(): void {
    const now = performance.now();
    for (const waiter of this.#held.filter(({ deadline }) => deadline <= now)) {
      waiter.cancelDial?.();
      this.#leave(waiter);
      waiter.asker.onUnavailable(this.#unavailable());
    }
    if (this.#held.length === 0) {
      clearInterval(this.#retry);
      this.#retry = undefined;
    } else if (this.#step === 0) this.#tryOne();
    else {
      // It is there but slow to answer: nobody waits for long because of that.
      this.#step = Math.min(MAX_AT_ONCE, this.#step * 2);
      this.#credit = Math.max(this.#credit, this.#step);
      this.#serveHeld();
    }
  }

  /** One try for all while it is away. */
  #tryOne(): void {
    if (this.#dialsForHeld > 0) return;
    this.#dialFor(this.#held[0], (code) => {
      for (const { asker } of this.#held.slice()) asker.onTried(code);
    });
  }

  /**
   * It is back: those who waited are served, the longest waiting first. The first one alone, then two for each answer:
   * a server can die of its first request, and must not take all the POSTs with it that may be sent only once.
   */
  #serveHeld(): void {
    while (this.#credit > 0 && this.#dialsForHeld < MAX_AT_ONCE) {
      const next = this.#held.find(({ cancelDial }) => !cancelDial);
      if (!next) return;
      this.#credit -= 1;
      this.#dialFor(next, (code) => next.asker.onTried(code));
    }
  }

  #dialFor(waiter: Waiter | undefined, failed: (code: string) => void): void {
    if (!waiter) return;
    this.#dialsForHeld += 1;
    const over = (): void => {
      this.#dialsForHeld -= 1;
      waiter.cancelDial = undefined;
    };
    const cancel = this.#dial(waiter.halfOpen, (result) => {
      over();
      if (typeof result === "string") return failed(result);
      this.#leave(waiter);
      waiter.asker.onGranted(result);
      this.#serveHeld();
    });
    waiter.cancelDial = () => {
      over();
      cancel();
    };
  }
}
