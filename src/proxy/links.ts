// The upstreams and what watches over them. Built by proxy.ts; when a link changes, this is where it is logged, the
// parent told, the hook run and the streams of a dead upstream cut.

import type { Logger } from "pino";
import type { LiveSet } from "../core/live-set.ts";
import type { Clock } from "../core/timer.ts";
import { tellParent } from "../life/notify.ts";
import type { Options } from "../options/options.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Tunnel } from "../tunnel/tunnel.ts";
import type { Target } from "../core/target.ts";
import type { HeldCount } from "../upstream/held.ts";
import { DownHook } from "../upstream/hook.ts";
import { Monitor } from "../upstream/monitor.ts";
import { Upstream } from "../upstream/upstream.ts";

/** What the links need of the other rooms. */
export interface LinkParts {
  options: Options;
  log: Logger;
  clock: Clock;
  exchanges: LiveSet<Exchange>;
  tunnels: LiveSet<Tunnel>;
}

/** One upstream, and what watches over it. */
export interface Link {
  upstream: Upstream;
  monitor: Monitor;
  hook: DownHook | undefined;
}

/** How loudly a change is said: a person has to look at what was lost, and nobody at what is back. */
const LEVELS = { connecting: "info", up: "info", suspect: "warn", reconnecting: "error" } as const;

/** For one probe of an upstream. */
const PROBE_TIMEOUT_MS = 3000;

/** All upstreams by name: `http`, `mux`, `mux2` ... */
export class Links {
  readonly byName: ReadonlyMap<string, Link>;
  readonly heldCount: HeldCount;
  readonly #parts: LinkParts;

  constructor(parts: LinkParts, targets: Iterable<[name: string, target: Target]>) {
    this.#parts = parts;
    this.heldCount = { held: 0, max: parts.options.maxHeld };
    this.byName = new Map([...targets].map(([name, target]) => [name, this.#build(name, target)]));
  }

  start(): void {
    for (const { monitor } of this.byName.values()) monitor.start();
  }

  /** A tunnel to this upstream ended because its ping was not answered. */
  unanswered(name: string): void {
    this.byName.get(name)?.monitor.unanswered(this.#parts.options.pingTimeout);
  }

  /** A request, or an upgrade, was not answered by this upstream in time (504), which took so long. */
  silent(name: string, waitedMs: number): void {
    this.byName.get(name)?.monitor.silent(waitedMs);
  }

  /** Holds no requests any more. */
  drain(): void {
    for (const { upstream } of this.byName.values()) upstream.drain();
  }

  close(): void {
    for (const { monitor, upstream, hook } of this.byName.values()) {
      monitor.stop();
      hook?.cancel();
      upstream.close();
    }
  }

  #build(name: string, target: Target): Link {
    const { options, clock } = this.#parts;
    const log = this.#parts.log.child({ upstream: name });
    const hook =
      options.onDown === undefined
        ? undefined
        : new DownHook(
            options.onDown,
            { name, target: target.label },
            {
              started: () => log.info({ command: options.onDown }, "running the on-down command"),
              ended: (result) => log[result.code === 0 ? "info" : "warn"](result, "on-down command ended"),
            },
          );
    const monitor = new Monitor(name, target, {
      clock,
      options: {
        intervalMs: options.probeInterval,
        timeoutMs: PROBE_TIMEOUT_MS,
        httpPath: name === "http" ? options.httpProbe : undefined,
      },
      events: {
        changed: (state, reason) => {
          const { reconnectCount, reconnectTries } = monitor.status;
          log[LEVELS[state]]({ state, reason, reconnectCount, reconnectTries }, `upstream ${name} is ${state}`);
          if (state === "up") {
            hook?.cancel();
            upstream.isBack();
          }
          if (state === "up" || state === "reconnecting") tellParent({ type: "upstream", name, state });
        },
        suspected: () => {
          // Or a pong within this tick would seem older than the failure, and a living tunnel be cut.
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
    const upstream = new Upstream(name, target, {
      options: {
        connectTimeoutMs: options.connectTimeout,
        recycleMs: options.recycle,
        holdMs: options.hold,
        keepAliveMs: options.tcpKeepAlive,
      },
      clock,
      heldCount: this.heldCount,
      watcher: monitor,
    });
    return { upstream, monitor, hook };
  }
}
