// Builds the rooms and wires them: listener -> router -> relay -> upstream, and outcomes to the log.
// Called by cli.ts and index.ts. It holds the one state of the process: starting, running, draining, stopped.

import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import type { Client } from "./core/client.ts";
import { Failure, type FailureCode } from "./core/errors.ts";
import { LiveSet } from "./core/live-set.ts";
import { endedWell, LineLimit } from "./core/log.ts";
import { nextId, type Observer, type Outcome } from "./core/outcome.ts";
import { refuse } from "./core/refuse.ts";
import { Clock } from "./core/timer.ts";
import { Listener } from "./front/listener.ts";
import { pathOf, route, wantsTunnel, type MuxRoute, type RequestLine, type Routes } from "./front/router.ts";
import { bind } from "./life/bind.ts";
import { tellParent } from "./life/notify.ts";
import type { Options } from "./options.ts";
import { Exchange, type RelayParts } from "./relay/exchange.ts";
import { isLoop, readRequestHead, toUpstream, viaOf, type RequestHead } from "./relay/headers.ts";
import { createPlainRelay, type RelayPlain } from "./relay/plain.ts";
import type { Tunnel } from "./relay/tunnel.ts";
import { DownHook } from "./upstream/hook.ts";
import { Monitor } from "./upstream/monitor.ts";
import { Upstream, type HeldCount } from "./upstream/upstream.ts";
import type { Target } from "./target.ts";

/** A running proxy. */
export interface Daemon {
  /** Where it listens, with the port that was picked for 0. */
  address: AddressInfo;
  /** Stops accepting, finishes what is in flight, and resolves when all is ended: `drain` after the call at most. */
  close(): Promise<void>;
}

/** Starts a proxy; resolves when it listens. Its upstreams may come later. */
export async function startDaemon(options: Options, log: Logger): Promise<Daemon> {
  const proxy = new Proxy(options, log);
  return await proxy.start();
}

/** A request's head, read once and used by the decision and by the relay. */
const heads = new WeakMap<IncomingMessage, RequestHead>();
function headOf(req: IncomingMessage): RequestHead {
  let head = heads.get(req);
  if (!head) heads.set(req, (head = readRequestHead(req.rawHeaders)));
  return head;
}

function lineOf(req: IncomingMessage): RequestLine {
  return { method: req.method ?? "", url: req.url ?? "", version: req.httpVersion };
}

/** One upstream, and what watches over it. */
interface Link {
  upstream: Upstream;
  monitor: Monitor;
}

/** For one probe of an upstream. */
const PROBE_TIMEOUT_MS = 3000;

class Proxy {
  readonly #options: Options;
  readonly #log: Logger;
  readonly #via = viaOf(randomBytes(4).toString("hex"));
  readonly #clock = new Clock();
  readonly #exchanges = new LiveSet<Exchange>();
  readonly #tunnels = new LiveSet<Tunnel>();
  readonly #links = new Map<string, Link>();
  readonly #heldCount: HeldCount;
  readonly #routes: Routes;
  readonly #relay: RelayParts;
  readonly #relayPlain: RelayPlain;
  readonly #listener: Listener;
  readonly #lines: LineLimit;
  #closing: Promise<void> | undefined;

  constructor(options: Options, log: Logger) {
    this.#options = options;
    this.#log = log;
    this.#lines = new LineLimit((kind, dropped) => log.info({ kind, dropped }, "more of the same were not logged"));
    this.#heldCount = { held: 0, max: options.maxHeld };
    this.#addLink("http", options.http);
    const mux = new Map<string, MuxRoute>();
    for (const [index, one] of options.mux.entries()) {
      const name = index === 0 ? "mux" : `mux${index + 1}`;
      this.#addLink(name, one.target);
      for (const path of one.paths) mux.set(path, { upstream: name, path: one.target.path });
    }
    this.#routes = { mux, allowOrigin: new Set(options.allowOrigin) };
    const observer: Observer = { ended: (outcome) => this.#onEnded(outcome), ponged: () => {} };
    this.#relay = {
      clock: this.#clock,
      exchanges: this.#exchanges,
      tunnels: this.#tunnels,
      observer,
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
    this.#relayPlain = createPlainRelay(options.http, (req, res, failed) => this.#exchange(req, res, "http", failed));
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
      {
        request: (req, res, client) => this.#onRequest(req, res, client),
        upgrade: (req, res, client, early) => this.#onUpgrade(req, res, client, early),
        isUpgrade: (req) => wantsTunnel(lineOf(req), headOf(req)) && !hasBody(headOf(req)),
        refused: (failure, client, id) => this.#onRefused(failure, id, client),
      },
    );
  }

  #addLink(name: string, target: Target): void {
    const options = this.#options;
    const log = this.#log.child({ upstream: name });
    const onDown =
      options.onDown === undefined
        ? undefined
        : new DownHook(options.onDown, { name, target: target.label }, (result) => {
            log[result.code === 0 ? "info" : "warn"](result, "on-down command ended");
          });
    const monitor = new Monitor(
      name,
      target,
      {
        intervalMs: options.probeInterval,
        timeoutMs: PROBE_TIMEOUT_MS,
        httpPath: name === "http" ? options.httpProbe : undefined,
      },
      {
        changed: (state, reason) => {
          log.info({ state, reason, reconnectCount: monitor.status.reconnectCount }, `upstream ${name} is ${state}`);
          if (state === "up") upstream.isBack();
          if (state === "reconnecting" || state === "up") tellParent({ type: "upstream", name, state });
        },
        suspected: () => {
          for (const tunnel of this.#tunnels) tunnel.onLinkSuspected(name);
        },
        lost: (since) => {
          upstream.dropIdle();
          for (const exchange of this.#exchanges) exchange.onLinkLost(name, since);
          for (const tunnel of this.#tunnels) tunnel.onLinkLost(name, since);
          if (onDown?.run()) log.info({ command: options.onDown }, "running the on-down command");
        },
      },
    );
    const upstream = new Upstream(name, target, {
      options: {
        connectTimeoutMs: options.connectTimeout,
        recycleMs: options.recycle,
        holdMs: options.hold,
        keepAliveMs: options.tcpKeepAlive,
      },
      clock: this.#clock,
      heldCount: this.#heldCount,
      watcher: monitor,
    });
    this.#links.set(name, { upstream, monitor });
  }

  async start(): Promise<Daemon> {
    const address = await bind(this.#listener.server, { host: this.#options.host, port: this.#options.port });
    const routes = [`HTTP → ${this.#options.http.label}`];
    for (const { target, paths } of this.#options.mux) {
      for (const path of paths) routes.push(`${path} → ${target.label}${target.path ?? ""}`);
    }
    this.#log.info(`listening on ${address.port}; ${routes.join("; ")}`);
    for (const { monitor } of this.#links.values()) monitor.start();
    return { address, close: () => (this.#closing ??= this.#close()) };
  }

  async #close(): Promise<void> {
    this.#log.info({ exchanges: this.#exchanges.size, tunnels: this.#tunnels.size }, "draining");
    this.#listener.stop();
    const deadline = this.#options.drain;
    await Promise.all([this.#exchanges.drain(deadline), this.#tunnels.drain(deadline)]);
    this.#listener.abandon();
    for (const { monitor, upstream } of this.#links.values()) {
      monitor.stop();
      upstream.close();
    }
    this.#lines.flush();
    this.#log.info("stopped");
  }

  #onRequest(req: IncomingMessage, res: ServerResponse, client: Client): void {
    const head = headOf(req);
    const decision = route(lineOf(req), head, client.trusted, this.#routes);
    if (decision.to === "refuse") return this.#refuse(req, res, client, decision.code);
    if (isLoop(head, this.#via)) return this.#refuse(req, res, client, "loop_detected");
    clients.set(req, client);
    this.#relayPlain(req, res, (failure) => this.#say(req, res, failure));
  }

  #onUpgrade(req: IncomingMessage, res: ServerResponse, client: Client, early: Buffer): void {
    const head = headOf(req);
    const decision = route(lineOf(req), head, client.trusted, this.#routes);
    if (decision.to === "refuse") return this.#refuse(req, res, client, decision.code);
    // The listener asks isUpgrade() first, so this is a request whose upgrade the router found to be none.
    if (decision.to === "plain") return this.#refuse(req, res, client, "bad_request");
    if (isLoop(head, this.#via)) return this.#refuse(req, res, client, "loop_detected");
    if (this.#tunnels.size >= this.#options.maxTunnels) return this.#refuse(req, res, client, "too_many");
    clients.set(req, client);
    const url = req.url ?? "/";
    const path = decision.path === undefined ? url : decision.path + url.slice(pathOf(url).length);
    const failed = (failure: Failure): void => this.#say(req, res, failure);
    this.#exchange(req, res, decision.upstream, failed, { path, early });
  }

  #exchange(
    req: IncomingMessage,
    res: ServerResponse,
    upstreamName: string,
    refused: (failure: Failure) => void,
    upgrade?: { path: string; early: Buffer },
  ): void {
    const client = clients.get(req);
    const upstream = this.#links.get(upstreamName)?.upstream;
    if (!client || !upstream) throw new Error(`no client or no upstream ${upstreamName}`);
    const head = headOf(req);
    const fields = toUpstream(head, req.method ?? "", client, this.#via, upgrade !== undefined);
    const path = upgrade?.path ?? req.url ?? "/";
    const exchange = new Exchange(this.#relay, { req, res, head, client, upstream, path, fields, upgrade, refused });
    ids.set(req, exchange.id);
    exchange.start();
  }

  /** Tells a client why its exchange failed. */
  #say(req: IncomingMessage, res: ServerResponse, failure: Failure): void {
    const awaySince = failure.upstream === undefined ? undefined : this.#links.get(failure.upstream)?.monitor.awaySince;
    refuse(res, failure, idOf(req), awaySince);
  }

  #refuse(req: IncomingMessage, res: ServerResponse, client: Client, code: FailureCode): void {
    const failure = new Failure(code);
    const id = nextId();
    refuse(res, failure, id);
    this.#onRefused(failure, id, client, req);
  }

  #onRefused(failure: Failure, id: string, _client: Client, req?: IncomingMessage): void {
    const how = failure.code === "request_timeout" ? "timeout" : failure.code === "too_many" ? "limit" : "protocol";
    this.#onEnded({
      id,
      kind: "request",
      route: "",
      method: req?.method ?? "",
      path: pathOf(req?.url ?? ""),
      status: failure.status,
      error: failure.code,
      bytesIn: 0,
      bytesOut: 0,
      ms: 0,
      attempts: [],
      by: failure.status === 503 ? "proxy" : "client",
      how,
      phase: "head",
      ray: req && headOf(req).ray,
    });
  }

  #onEnded(outcome: Outcome): void {
    const good = endedWell(outcome);
    const level = good && !this.#options.accessLog ? "debug" : "info";
    if (!this.#log.isLevelEnabled(level)) return;
    if (!good && !this.#lines.allows(`${outcome.by} ${outcome.how}`)) return;
    this.#log[level](outcome, outcome.kind === "tunnel" ? "tunnel ended" : "request ended");
  }
}

const clients = new WeakMap<IncomingMessage, Client>();
const ids = new WeakMap<IncomingMessage, string>();
const idOf = (req: IncomingMessage): string => ids.get(req) ?? nextId();

function hasBody(head: RequestHead): boolean {
  return head.codings.length > 0 || Number(head.length ?? 0) !== 0;
}
