// Makes all modules and connects them: listener -> gate -> exchange -> upstream, and outcomes to the log and the
// metrics. Called by cli.ts and index.ts. Holds the state of the proxy: starting, running, draining, stopped.

import type { AddressInfo } from "node:net";
import { Admins } from "./admins.ts";
import { thisMoment } from "../core/moment.ts";
import { LiveSet } from "../core/live-set.ts";
import type { Log } from "../ops/late-log.ts";
import { levelOf } from "../ops/ending.ts";
import { LineLimit } from "../ops/log.ts";
import type { Observer, Outcome } from "../core/outcome.ts";
import { load } from "../core/packages.ts";
import { Clock, sleep } from "../core/timer.ts";
import { Listener } from "../front/listener.ts";
import { listenerOptionsOf, relayOptionsOf, routeReportsOf, routesOf, targetsOf } from "./from-options.ts";
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
import { whatHappened } from "../ops/what-happened.ts";
import { viaOf } from "../http/request-head.ts";
import { QUIET_VIA } from "../http/upstream-head.ts";
import type { Tunnel } from "../tunnel/tunnel.ts";
import { readingsOf, reportOf, type Rooms } from "./reports.ts";
import type { Why } from "../core/errors.ts";
import { urlOf } from "../core/target.ts";

/** What the process of a proxy provides. */
export interface Process {
  /** Limits the lines of the log. */
  lines: LineLimit;
  /** Serve the control socket (`single-port status`, takeover)? Not when used as a module. */
  control: boolean;
  /** Ends the process: called when POST /drain came on the control socket (a successor takes over). */
  stop(reason: string): void;
}

/** In an outage that is longer than this, in milliseconds, a page load gets the waiting page at once (gate.ts). */
const NAVIGATION_HOLD_MS = 10_000;
/** The last part of --drain, in milliseconds: exchanges are cut before it, and clients have that long to read why. */
const LAST_WORDS_MS = 250;
/** Time between two checks whether anything is still open, during the drain. */
const LOOK_MS = 10;
/** Without a successor, and with nothing in flight: an idle connection is closed after this time, in milliseconds. */
const IDLE_MS = 1000;

/** The version of this package. Found by the package's name: a relative path would differ in `dist/cli.cjs`. */
export function version(): string {
  return (load("single-port/package.json") as { version: string }).version;
}

/** Starts a proxy within another program: without a control socket, and without signal handlers. */
export async function startDaemon(options: Options, log: Log): Promise<Proxy> {
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

/** Logs how many lines of a kind were left out. */
export function logDropped(log: Log, kind: string, dropped: number, level: "info" | "warn" | "error" | "fatal"): void {
  log[level]({ kind, dropped }, "further lines of this kind were not logged");
}

/** The live page, which a start does not wait for. */
async function loadPage(): Promise<typeof import("../ops/page.ts")> {
  return await import("../ops/page.ts");
}

/** A proxy. It is made, started once, and closed once. */
export class Proxy {
  readonly metrics: Metrics = new Metrics(() => this.report());
  readonly #history = new History(() => readingsOf(this.#rooms()));
  readonly #options: Options;
  readonly #log: Log;
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

  constructor(options: Options, log: Log, parent: Process) {
    this.#options = options;
    this.#log = log;
    this.#process = parent;
    this.#admins = new Admins(
      {
        report: () => this.report(),
        history: this.#history,
        metrics: () => this.metrics.text(),
        page: async () => (await loadPage()).livePage(),
        allowHost: new Set(options.allowHost),
        refused: (why) => this.#onAdminRefused(why),
      },
      log,
    );
    this.#routes = routeReportsOf(options);
    const live = { clock: this.#clock, exchanges: this.#exchanges, tunnels: this.#tunnels };
    this.#links = new Links({ ...live, options, log }, targetsOf(options));
    const observer: Observer = {
      ended: (outcome) => this.#onEnded(outcome),
      opened: (route) => this.metrics.opened(route),
      ponged: (side, rttMs) => this.metrics.ponged(side, rttMs),
    };
    this.#gate = new Gate({
      routes: routesOf(options),
      links: this.#links,
      relay: { ...live, observer, options: relayOptionsOf(options) },
      adds: {
        via: viaOf(Math.floor(Math.random() * 2 ** 32).toString(16)),
        viaField: options.via ? "Via" : QUIET_VIA,
        forwarded: options.forwarded,
      },
      maxTunnels: options.maxTunnels,
      navigationHoldMs: Math.min(options.hold, NAVIGATION_HOLD_MS),
      http: options.http,
    });
    this.#listener = new Listener(listenerOptionsOf(options), this.#gate, this.#clock);
  }

  /** The URL of the live page, if --admin is an address that a browser can open. */
  get adminUrl(): string | undefined {
    return this.#admins.url;
  }

  /** The public address, with the port that was picked for 0. */
  get address(): AddressInfo {
    if (!this.#address) throw new Error("not listening");
    return this.#address;
  }

  /**
   * Binds the port and serves. Does not wait for upstreams. All that can fail comes before the port is bound: from then
   * on clients connect, and a previous instance has stopped listening.
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
    setImmediate(() => this.#begin());
    if (adminLater) void this.#admins.serveAddressSoon(admin);
    if (this.#process.control) {
      await this.#admins.serveControl(bound.address.port, bound.older?.control, () => this.#onTakenOver());
    }
  }

  /**
   * Probes the upstreams, and loads the packages that a request needs. Deferred, so that the line that says "listening"
   * is written first. A request that comes earlier loads the packages itself.
   */
  #begin(): void {
    if (this.#closing) return;
    this.#links.start();
    this.#history.start();
    this.#warmUp();
  }

  /** Loads what is read from files, while there are descriptors, and before an update of the package replaces them. */
  #warmUp(): void {
    this.#gate.warmUp();
    this.metrics.load();
    version();
    void loadPage();
  }

  /** Binds --admin. False when a previous instance holds the address, which it gives up together with the port. */
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
    if (older?.hears) this.#log.info({ older: older.pid }, "took over from the previous single-port");
    else if (older)
      this.#log.warn({ older: older.pid }, "the previous single-port does not answer, and may still serve clients");
    // A unix socket passed by systemd has no port, and so no URL.
    if (address.port > 0) routes.push(urlOf(address.address, address.port));
    this.#log.info(`listening on ${address.port || address.address}; ${routes.join("; ")}`);
  }

  #onTakenOver(): void {
    this.#takenOver = true;
    this.#process.stop("taken over");
  }

  /** Stops accepting, finishes what is in flight, and resolves when all is closed: within `drain` at most. */
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
    // A successor takes the admin addresses over. Without one, only the control socket's file is removed: so no other
    // process takes over from this one, while open connections (`status --watch`) and --admin go on.
    if (this.#takenOver) this.#admins.release();
    else this.#admins.hide();
    this.#listener.stop();
    // Before tunnels are closed: their clients reconnect at once, and would reach this instance again.
    await this.#stopListening(drain / 2);
    this.#exchanges.drain();
    this.#tunnels.drain();
    // Without a successor, held requests get a 503 with Retry-After now: that is better than to wait for an upstream
    // until this proxy is gone. With a successor they stay held, for as long as this proxy drains.
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

  /** Stops listening, without resetting clients in the accept queue. */
  async #stopListening(withinMs: number): Promise<void> {
    const close = (): void => this.#listener.close();
    // systemd keeps its socket open: clients in its queue are accepted by the process that systemd starts next.
    if (this.#inherited) close();
    else {
      const [alone, shared] = [!this.#takenOver, this.#shared && this.#takenOver];
      await retire(this.#listener.server, { shared, alone, close, withinMs });
    }
  }

  /**
   * Resolves when nothing is open any more, or at `deadline`. Polls, because a request may become a tunnel meanwhile.
   *
   * The client of an idle connection may be sending its next request in the moment this proxy sends FIN, and would lose
   * it. So an idle connection stays open for that request, whose answer says `Connection: close`: as long as anything
   * else is in flight, and after that until the connection has been idle for `idleMs`.
   */
  async #ended(deadline: number, idleMs: number): Promise<void> {
    const inFlight = (): number => this.#exchanges.size + this.#tunnels.size;
    while (inFlight() + this.#listener.connections > 0 && performance.now() < deadline) {
      if (inFlight() === 0 || idleMs === 0) await this.#listener.endIdle(idleMs);
      await sleep(LOOK_MS);
    }
  }

  /** The report for /status. */
  report(): Report {
    return reportOf(this.#rooms(), {
      version: version(),
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
    if (this.#process.lines.allows("admin refused", "warn"))
      this.#log.warn(why, "refused a request to --admin: its host is not allowed");
  }

  #onEnded(outcome: Outcome): void {
    this.metrics.ended(outcome);
    if (outcome.by === "upstream" && outcome.how === "no_pong") this.#links.unanswered(outcome.route);
    if (outcome.error === "upstream_timeout") this.#links.silent(outcome.route, outcome.ms);
    const message = outcome.kind === "tunnel" ? "tunnel ended" : "request ended";
    const level = levelOf(outcome);
    if (level === "debug") return this.#log[this.#options.accessLog ? "info" : "debug"](outcome, message);
    // Exchanges that are left out of the log by the line limit are left out of the table, too. With --access-log,
    // relayed 5xx answers are ordinary lines, and not limited.
    const isStorm = outcome.how !== "done" || !this.#options.accessLog;
    if (isStorm && !this.#process.lines.allows(`${outcome.by} ${outcome.how}`, level)) return;
    const what = whatHappened(outcome, this.#links.byName.get(outcome.route)?.upstream.label ?? outcome.route);
    this.#history.ended(outcome, what);
    this.#log[level]({ ...outcome, what }, message);
  }
}
