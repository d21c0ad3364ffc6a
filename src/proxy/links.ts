// The upstreams, each with its monitor and its --on-down hook. Made by proxy.ts. When the state of a link changes, this
// file logs it, tells the parent process, runs the hook, and cuts streams through a lost upstream.

import type { Log } from "../ops/late-log.ts";
import type { LiveSet } from "../core/live-set.ts";
import type { Clock } from "../core/timer.ts";
import { tellParent } from "../life/notify.ts";
import type { Options } from "../options/options.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Waited } from "../exchange/parts.ts";
import type { Tunnel } from "../tunnel/tunnel.ts";
import { hostPort, type Address, type Target } from "../core/target.ts";
import type { HeldCount } from "../upstream/held.ts";
import { DownHook } from "../upstream/hook.ts";
import { Monitor } from "../upstream/monitor.ts";
import { probeConnect } from "../upstream/probe.ts";
import { Upstream } from "../upstream/upstream.ts";
import { Whereabouts } from "../upstream/whereabouts.ts";

/** What the links use of other modules. */
export interface LinkParts {
  options: Options;
  log: Log;
  clock: Clock;
  exchanges: LiveSet<Exchange>;
  tunnels: LiveSet<Tunnel>;
}

/** An upstream, its monitor and its hook. */
export interface Link {
  upstream: Upstream;
  monitor: Monitor;
  hook: DownHook | undefined;
}

/** The log level of a change to this state. */
const LEVELS = { connecting: "info", up: "info", suspect: "warn", reconnecting: "error" } as const;
/** What a state means for requests, for the operator. */
const MEANS = {
  connecting: "",
  up: "",
  suspect: ": a request or probe failed; it is asked again, and requests still go there",
  reconnecting: ": it cannot be reached; requests wait for it, for up to --hold",
} as const;

/** Time limit of one probe, in milliseconds. */
const PROBE_TIMEOUT_MS = 3000;
/**
 * When a request has waited this long for its response, the upstream is probed. Checked every LOOK_MS. Milliseconds.
 */
const LONG_WAIT_MS = 10_000;
const LOOK_MS = 1000;

/** All upstreams by name: `http`, `mux`, `mux2` ... */
export class Links {
  readonly byName: ReadonlyMap<string, Link>;
  readonly heldCount: HeldCount;
  readonly #parts: LinkParts;
  /** Cancels the probes that #ask() has under way. */
  readonly #asking = new Set<() => void>();
  #looking: NodeJS.Timeout | undefined;

  constructor(parts: LinkParts, targets: Iterable<[name: string, target: Target]>) {
    this.#parts = parts;
    this.heldCount = { held: 0, max: parts.options.maxHeld };
    this.byName = new Map([...targets].map(([name, target]) => [name, this.#build(name, target)]));
  }

  start(): void {
    for (const { monitor } of this.byName.values()) monitor.start();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    this.#looking.unref();
  }

  /** A tunnel to this upstream ended because a ping was not answered. */
  unanswered(name: string): void {
    this.byName.get(name)?.monitor.unanswered(this.#parts.options.pingTimeout);
  }

  /** A request or upgrade was not answered by this upstream in time (504), after `waitedMs`. */
  silent(name: string, waitedMs: number): void {
    this.byName.get(name)?.monitor.silent(waitedMs);
  }

  /** Refuses held requests, and holds no more. */
  drain(): void {
    for (const { upstream } of this.byName.values()) upstream.drain();
  }

  /** The request that has waited longest for this upstream's response; undefined when none waits. */
  oldestWait(name: string): Waited | undefined {
    let oldest: Waited | undefined;
    for (const { waiting } of this.#parts.exchanges) {
      if (waiting?.upstream === name && (!oldest || waiting.since < oldest.since)) oldest = waiting;
    }
    return oldest;
  }

  /** Probes upstreams for which a request waits long: a frozen server still accepts connections and requests. */
  #look(): void {
    if (this.#parts.exchanges.size === 0) return;
    for (const [name, { monitor }] of this.byName) {
      const oldest = this.oldestWait(name);
      const waitedMs = oldest ? performance.now() - oldest.since : 0;
      if (waitedMs >= LONG_WAIT_MS) monitor.waits(LONG_WAIT_MS);
    }
  }

  /** When the last byte came from this upstream, in any open exchange or tunnel. */
  #lastByte(name: string): number {
    let last = -Infinity;
    for (const { lastByte, upstream } of this.#parts.exchanges) if (upstream === name) last = Math.max(last, lastByte);
    for (const { route, upstream } of this.#parts.tunnels)
      if (route === name) last = Math.max(last, upstream.liveness.lastByte);
    return last;
  }

  /** Logs that an upstream cannot be reached at the start; hints at [::1] if its port is open there. */
  #unreachable(log: Log, name: string, target: Target, code: string): void {
    const say = (more: string): void =>
      log.warn({ code }, `${name} upstream ${target.label} cannot be reached yet (${code}); retrying${more}`);
    const { address } = target;
    const elsewhere = "port" in address && address.host === "127.0.0.1" && !target.other && code === "ECONNREFUSED";
    if (!elsewhere) return say("");
    const other = { host: "::1", port: address.port };
    this.#ask(other, (error) => {
      say(error === undefined ? `. Something listens on ${hostPort(other.host, other.port)}: is that the server?` : "");
    });
  }

  /** Does somebody listen at another address of an upstream? The monitor probes the one at which it is. */
  #ask(address: Address, done: (error: string | undefined) => void): void {
    const limit = { clock: this.#parts.clock, timeoutMs: PROBE_TIMEOUT_MS };
    const cancel = probeConnect(address, limit, (error) => {
      this.#asking.delete(cancel);
      done(error);
    });
    this.#asking.add(cancel);
  }

  close(): void {
    clearInterval(this.#looking);
    for (const cancel of this.#asking) cancel();
    for (const { monitor, upstream, hook } of this.byName.values()) {
      monitor.stop();
      hook?.cancel();
      upstream.close();
    }
  }

  #build(name: string, target: Target): Link {
    const { options, clock } = this.#parts;
    const log = this.#parts.log.child({ upstream: name });
    const where = new Whereabouts(target, (label) => {
      this.#ask(target.address, (error) => {
        if (error === undefined) {
          where.isThereAfterAll();
          upstream.leaveConnections();
        } else log.info(`upstream ${name} answers at ${label}, not at ${target.label}`);
      });
    });
    const monitor = new Monitor(name, where, {
      clock,
      options: {
        intervalMs: options.probeInterval,
        timeoutMs: PROBE_TIMEOUT_MS,
        httpPath: name === "http" ? options.httpProbe : undefined,
      },
      events: {
        changed: (state, reason) => {
          const { reconnectCount, reconnectTries } = monitor.status;
          log[LEVELS[state]](
            { state, reason, reconnectCount, reconnectTries },
            `upstream ${name} is ${state}${MEANS[state]}`,
          );
          if (state === "up") {
            hook?.cancel();
            upstream.isBack();
          }
          if (state === "up" || state === "reconnecting") tellParent({ type: "upstream", name, state });
        },
        unreachable: (code) => this.#unreachable(log, name, target, code),
        lastByte: () => this.#lastByte(name),
        refused: () => upstream.leaveConnections(),
        suspected: () => {
          // Otherwise a pong within this tick would have the time of the last tick, seem older than the failure, and a
          // living tunnel would be cut.
          clock.refresh();
          for (const tunnel of this.#parts.tunnels) tunnel.onLinkSuspected(name);
        },
        lost: (since) => {
          upstream.dropIdle();
          for (const exchange of this.#parts.exchanges) exchange.onLinkLost(name, since);
          for (const tunnel of this.#parts.tunnels) tunnel.onLinkLost(name, since);
          hook?.down();
        },
      },
    });
    const upstream = new Upstream(name, {
      options: {
        connectTimeoutMs: options.connectTimeout,
        recycleMs: options.recycle,
        holdMs: options.hold,
        keepAliveMs: options.tcpKeepAlive,
      },
      clock,
      heldCount: this.heldCount,
      watcher: monitor,
      where,
    });
    const hook =
      options.onDown === undefined
        ? undefined
        : new DownHook(options.onDown, upstream, {
            started: () => log.info({ command: options.onDown }, "running the --on-down command"),
            ended: (result) => log[result.code === 0 ? "info" : "warn"](result, "the --on-down command ended"),
          });
    return { upstream, monitor, hook };
  }
}
