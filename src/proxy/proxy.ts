// Builds the rooms and wires them: listener -> gate -> relay -> upstream, and outcomes to the log and the metrics.
// Called by cli.ts and index.ts. It holds the one state of the process: running, draining, stopped.

import { randomBytes } from "node:crypto";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { Admins } from "./admins.ts";
import { thisMoment } from "../core/moment.ts";
import { LiveSet } from "../core/live-set.ts";
import { levelOf } from "../ops/ending.ts";
import { LineLimit } from "../ops/log.ts";
import type { Outcome } from "../core/outcome.ts";
import { load } from "../core/packages.ts";
import { Clock, sleep } from "../core/timer.ts";
import { Listener } from "../front/listener.ts";
import type { MuxRoute } from "../front/router.ts";
import { Gate } from "./gate.ts";
import { bind, type Bound } from "../life/bind.ts";
import { isOlderSelf } from "../life/older-self.ts";
import { retire } from "../life/retire.ts";
import { Links } from "./links.ts";
import { History } from "../ops/history.ts";
import { Metrics } from "../ops/metrics.ts";
import type { Report, RouteReport } from "../ops/report.ts";
import type { Options } from "../options/options.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { RelayParts } from "../exchange/parts.ts";
import { whatHappened } from "../ops/what-happened.ts";
import { viaOf } from "../http/request-head.ts";
import { QUIET_VIA } from "../http/upstream-head.ts";
import type { Tunnel } from "../tunnel/tunnel.ts";
import { readingsOf, reportOf, type Rooms } from "./reports.ts";
import type { Why } from "../core/errors.ts";
import { hostsOf } from "../core/hosts.ts";
import { isSameAddress, urlOf, type Target } from "../core/target.ts";

/** What a process adds to a daemon. */
export interface Process {
  /** Bounds the lines of the log. */
  lines: LineLimit;
  /** Has a socket (`single-port status`, takeover); not when used as a module. */
  control: boolean;
  /** A newer self takes over, or an operator wants it: end the process. */
  stop(reason: string): void;
}

/** A restart takes no longer; who opens a page of what is down for longer than that is told so at once. */
const NAVIGATION_HOLD_MS = 10_000;
/** Of the drain, what is kept for last words: who is cut off is told, and has that long to take it. */
const LAST_WORDS_MS = 250;
/** How often it is looked whether anything is open still. */
const LOOK_MS = 10;
/** Without a successor: a connection that has been idle for so long is ended as soon as nothing else is in flight. */
const IDLE_MS = 1000;

/** The version of this package, found by its own name: this file is also part of `dist/cli.cjs`, elsewhere. */
export const VERSION: string = (load("single-port/package.json") as { version: string }).version;

/** Starts a proxy that is part of another program: without a control socket, and ended by `close()` only. */
export async function startDaemon(options: Options, log: Logger): Promise<Proxy> {
  const lines = new LineLimit((...dropped) => logDropped(log, ...dropped));
  const proxy = new Proxy(options, log, { lines, control: false, stop: () => {} });
  try {
    await proxy.start();
  } catch (error) {
    await proxy.close();
    throw error;
  }
  return proxy;
}

/** Says how many lines of a kind were left out. */
export function logDropped(
  log: Logger,
  kind: string,
  dropped: number,
  level: "info" | "warn" | "error" | "fatal",
): void {
  log[level]({ kind, dropped }, "more of the same were not logged");
}

/** Where each path leads; what has no line of its own goes to the web server. */
function routesOf({ http, mux }: Options): RouteReport[] {
  const toMux = mux.flatMap(({ target, paths }, index) => {
    const upstream = index === 0 ? "mux" : `mux${index + 1}`;
    return paths.map((path) => ({ path, upstream, target: `${target.label}${target.path ?? ""}` }));
  });
  return [...toMux, { path: "*", upstream: "http", target: http.label }];
}

/** A proxy: made, then started once, then closed once. */
export class Proxy {
  readonly metrics: Metrics = new Metrics(() => this.report());
  readonly #history = new History(() => readingsOf(this.#rooms()));
  readonly #options: Options;
  readonly #log: Logger;
  readonly #process: Process;
  readonly #clock = new Clock();
  readonly #exchanges = new LiveSet<Exchange>();
  readonly #tunnels = new LiveSet<Tunnel>();
  readonly #links: Links;
  readonly #routes: RouteReport[];
  readonly #gate: Gate;
  readonly #listener: Listener;
  readonly #started = thisMoment();
  readonly #starting = new AbortController();
  readonly #admins: Admins;
  #state: Report["state"] = "starting";
  #address: AddressInfo | undefined;
  #shared = false;
  #inherited = false;
  #takenOver = false;
  #closing: Promise<void> | undefined;

  constructor(options: Options, log: Logger, parent: Process) {
    this.#options = options;
    this.#log = log;
    this.#process = parent;
    this.#admins = new Admins(
      {
        report: () => this.report(),
        history: this.#history,
        metrics: () => this.metrics.text(),
        page: async () => (await import("../ops/page.ts")).livePage(),
        allowHost: new Set(options.allowHost),
        refused: (why) => this.#onAdminRefused(why),
      },
      log,
    );
    this.#routes = routesOf(options);
    const targets: [string, Target][] = [["http", options.http]];
    const mux = new Map<string, MuxRoute>();
    for (const [index, one] of options.mux.entries()) {
      const name = index === 0 ? "mux" : `mux${index + 1}`;
      targets.push([name, one.target]);
      for (const path of one.paths) mux.set(path, { upstream: name, path: one.target.path });
    }
    const live = { clock: this.#clock, exchanges: this.#exchanges, tunnels: this.#tunnels };
    this.#links = new Links({ ...live, options, log }, targets);
    const relay: RelayParts = {
      ...live,
      observer: {
        ended: (outcome) => this.#onEnded(outcome),
        opened: (route) => this.metrics.opened(route),
        ponged: (side, rttMs) => this.metrics.ponged(side, rttMs),
      },
      options: {
        responseTimeoutMs: options.responseTimeout,
        handshakeTimeoutMs: options.handshakeTimeout,
        bodyTimeoutMs: options.bodyTimeout,
        replayBytes: options.replayBuffer,
        maxHeaderBytes: options.maxHeaderSize,
        stallMs: options.stallTimeout,
        pingIntervalMs: options.pingInterval,
        pingTimeoutMs: options.pingTimeout,
      },
    };
    this.#gate = new Gate({
      routes: {
        mux,
        allowOrigin: new Set(options.allowOrigin),
        allowHost: hostsOf(options.allowHost, options.host),
        httpIsMux: options.mux.some(({ target }) => isSameAddress(target.address, options.http.address)),
      },
      links: this.#links,
      relay,
      adds: {
        via: viaOf(randomBytes(4).toString("hex")),
        viaField: options.via ? "Via" : QUIET_VIA,
        forwarded: options.forwarded,
      },
      maxTunnels: options.maxTunnels,
      navigationHoldMs: Math.min(options.hold, NAVIGATION_HOLD_MS),
      http: options.http,
    });
    this.#listener = new Listener(
      {
        headersTimeoutMs: options.headersTimeout,
        requestTimeoutMs: options.requestTimeout,
        clientKeepAliveMs: options.clientKeepAlive,
        maxHeaderBytes: options.maxHeaderSize,
        maxConnections: options.maxConnections,
        keepAliveMs: options.tcpKeepAlive,
        trusted: options.trustProxy,
      },
      this.#gate,
      this.#clock,
    );
  }

  /** Where the live page is, if it is served to browsers. */
  get adminUrl(): string | undefined {
    return this.#admins.url;
  }

  /** Where it listens, with the port that was picked for 0. */
  get address(): AddressInfo {
    if (!this.#address) throw new Error("not listening");
    return this.#address;
  }

  /**
   * Listens; its upstreams may come later. What can fail comes before the port is taken: from then on clients rely on
   * us, and an older self is gone.
   *
   * @throws {CannotListen}
   */
  async start(): Promise<void> {
    const { host, port, bindRetry, takeover, admin } = this.#options;
    const adminLater = admin && !(await this.#serveAdmin(admin));
    if (takeover) this.#warmUp();
    const place = { host, port, retryMs: bindRetry, takeover };
    const bound = await bind(this.#listener.server, place, this.#starting.signal);
    if (this.#closing) return this.#listener.close();
    this.#address = bound.address;
    this.#shared = bound.shared;
    this.#inherited = bound.inherited;
    this.#state = "running";
    this.#sayListening(bound);
    this.#links.start();
    this.#history.start();
    if (adminLater) void this.#admins.serveAddressSoon(admin);
    if (this.#process.control) {
      await this.#admins.serveControl(bound.address.port, bound.older?.control, () => this.#onTakenOver());
    }
    // Behind the line above, for which a manager or a user waits. What comes faster loads it at once, or is counted then.
    setImmediate(() => this.#warmUp());
  }

  #warmUp(): void {
    this.#gate.warmUp();
    this.metrics.load();
  }

  /** False when an older self has the address: it gives it up with the port. */
  async #serveAdmin(address: Exclude<Options["admin"], undefined>): Promise<boolean> {
    try {
      await this.#admins.serveAddress(address);
      return true;
    } catch (error) {
      if (this.#options.takeover && (await isOlderSelf(address, this.#options.port))) return false;
      throw error;
    }
  }

  #sayListening({ address, older }: Bound): void {
    const routes = [`HTTP → ${this.#options.http.label}`];
    for (const { target, paths } of this.#options.mux) {
      for (const path of paths) routes.push(`${path} → ${target.label}${target.path ?? ""}`);
    }
    if (older?.hears) this.#log.info({ older: older.pid }, "took over from an older single-port");
    else if (older) this.#log.warn({ older: older.pid }, "the older single-port does not answer, and may keep clients");
    // A unix socket of systemd's has no port, and nothing to open.
    if (address.port > 0) routes.push(urlOf(address.address, address.port));
    this.#log.info(`listening on ${address.port || address.address}; ${routes.join("; ")}`);
  }

  #onTakenOver(): void {
    this.#takenOver = true;
    this.#process.stop("taken over");
  }

  /** Stops accepting, finishes what is in flight, and resolves when all is ended: `drain` after the call at most. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const { drain } = this.#options;
    const began = performance.now();
    const lastWords = Math.min(LAST_WORDS_MS, drain / 4);
    this.#starting.abort();
    this.#state = "draining";
    this.#log.info({ requests: this.#exchanges.size, tunnels: this.#tunnels.size }, "draining");
    // The successor is the one to ask. Without one, whoever would take over asks on the control socket: not us.
    if (this.#takenOver) this.#admins.release();
    else this.#admins.hide();
    this.#listener.stop();
    // Before a tunnel is told to go: its client would come back at once, and to us again.
    await this.#stopListening(drain / 2);
    this.#exchanges.drain();
    this.#tunnels.drain();
    // Nobody serves until we are gone, so nobody is kept waiting for an upstream that is away: "try again in a second"
    // is the better answer. Under a successor they are held on, as promised, for as long as we drain.
    if (!this.#takenOver) this.#links.drain();
    await this.#ended(began + drain - lastWords, this.#takenOver ? Infinity : Math.min(IDLE_MS, drain / 4));
    this.#exchanges.abandon();
    this.#tunnels.abandon();
    await this.#ended(began + drain, 0);
    this.#listener.close();
    this.#listener.abandon();
    this.#links.close();
    this.#history.stop();
    this.#state = "stopped";
    this.#admins.close();
    this.#process.lines.flush();
    this.#log.info("stopped");
  }

  /** Stops listening, without a reset for those who wait to be accepted. */
  async #stopListening(withinMs: number): Promise<void> {
    const close = (): void => this.#listener.close();
    // What systemd has passed is its own: those who wait on it are accepted by whoever it starts next.
    if (this.#inherited) close();
    else {
      const [alone, shared] = [!this.#takenOver, this.#shared && this.#takenOver];
      await retire(this.#listener.server, { shared, alone, close, withinMs });
    }
  }

  /**
   * Resolves when nothing is open any more, or it is too late. Looks, because a request may become a tunnel meanwhile.
   *
   * A client of an idle connection may be writing its next request just as we send FIN, and would lose it. So an idle
   * connection waits for that request, and is told by its answer: for as long as something else keeps us in any case,
   * and then until it has been idle for `idleMs`. A proxy that nobody uses waits for nobody.
   */
  async #ended(deadline: number, idleMs: number): Promise<void> {
    const inFlight = (): number => this.#exchanges.size + this.#tunnels.size;
    while (inFlight() + this.#listener.connections > 0 && performance.now() < deadline) {
      if (inFlight() === 0 || idleMs === 0) await this.#listener.endIdle(idleMs);
      await sleep(LOOK_MS);
    }
  }

  /** What /status says. */
  report(): Report {
    return reportOf(this.#rooms(), {
      version: VERSION,
      state: this.#state,
      started: this.#started,
      address: this.#address,
      shared: this.#shared,
    });
  }

  #rooms(): Rooms {
    return {
      metrics: this.metrics,
      history: this.#history,
      exchanges: this.#exchanges,
      tunnels: this.#tunnels,
      links: this.#links,
      routes: this.#routes,
      listener: this.#listener,
    };
  }

  #onAdminRefused(why: Why): void {
    if (this.#process.lines.allows("admin refused", "warn")) this.#log.warn(why, "refused on the admin address");
  }

  #onEnded(outcome: Outcome): void {
    this.metrics.ended(outcome);
    if (outcome.by === "upstream" && outcome.how === "no_pong") this.#links.unanswered(outcome.route);
    if (outcome.error === "upstream_timeout") this.#links.silent(outcome.route, outcome.ms);
    const message = outcome.kind === "tunnel" ? "tunnel ended" : "request ended";
    const level = levelOf(outcome);
    if (level === "debug") return this.#log[this.#options.accessLog ? "info" : "debug"](outcome, message);
    // Of a storm the table shows what the log shows. An answer that was only passed on is a line like all others.
    const isStorm = outcome.how !== "done" || !this.#options.accessLog;
    if (isStorm && !this.#process.lines.allows(`${outcome.by} ${outcome.how}`, level)) return;
    const what = whatHappened(outcome, this.#links.byName.get(outcome.route)?.upstream.target.label ?? outcome.route);
    this.#history.ended(outcome, what);
    this.#log[level]({ ...outcome, what }, message);
  }
}
