// Handles each request that the listener hands out: reads the head once, asks the router, and opens an exchange or
// refuses. Made by proxy.ts.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Client } from "../core/client.ts";
import { Failure, type FailureCode, type How, type Side, type Why } from "../core/errors.ts";
import { nextId, type Outcome } from "../core/outcome.ts";
import { answerSelf, isNavigation, refuse } from "../front/refuse.ts";
import type { Handlers } from "../front/listener.ts";
import { pathOf, route, wantsTunnel, type RequestLine, type Routes } from "../front/router.ts";
import type { Link, Links } from "./links.ts";
import type { Patience } from "../upstream/upstream.ts";
import { Exchange } from "../exchange/exchange.ts";
import type { RelayParts } from "../exchange/parts.ts";
import { createPlainRelay, type PlainRelay } from "../exchange/plain.ts";
import { loadFrames } from "../tunnel/control-frames.ts";
import { clientOf, hopsLeft, isLoop, readRequestHead, type RequestHead } from "../http/request-head.ts";
import { readTarget } from "../http/request-target.ts";
import { traceOf } from "../http/trace.ts";
import { toUpstream, type Adds } from "../http/upstream-head.ts";
import type { Target } from "../core/target.ts";

/** What the gate uses of other modules. */
export interface GateParts {
  routes: Routes;
  links: Links;
  relay: RelayParts;
  adds: Adds;
  maxTunnels: number;
  /** Page loads are held only during the first part of an outage: this long, in milliseconds. */
  navigationHoldMs: number;
  http: Target;
}

/** What the gate has read of a request. */
interface Known {
  head: RequestHead;
  /** Path and query; undefined before the target is read, and when it is invalid. */
  path: string | undefined;
  client: Client | undefined;
  id: string | undefined;
}
// A property of the request: a WeakMap entry for each request costs the garbage collector more than the request itself.
const KNOWN = Symbol("known");

function knownOf(req: IncomingMessage & { [KNOWN]?: Known }): Known {
  return (req[KNOWN] ??= { head: readRequestHead(req.rawHeaders), path: undefined, client: undefined, id: undefined });
}

function lineOf(req: IncomingMessage): RequestLine {
  const { head, path } = knownOf(req);
  const method = req.method ?? "";
  return { method, path, version: req.httpVersion, hops: hopsLeft(method, head) };
}

/** The path for the log, from a target that may be invalid: without the query, and without a password. */
function loggedPath(url: string): string {
  return pathOf(url).replace(/^(\w+:\/\/)[^/]*@/, "$1");
}

/** The listener's handlers. */
export class Gate implements Handlers {
  readonly #parts: GateParts;
  readonly #plain: PlainRelay;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#plain = createPlainRelay(parts.http, (req, res, failed) => this.#open(req, res, "http", failed));
  }

  /**
   * Loads the packages that the first request and the first tunnel need. So they do not wait for that, and an update
   * that replaces the packages on disk does no harm.
   */
  warmUp(): void {
    this.#plain.warmUp();
    loadFrames();
  }

  isUpgrade(req: IncomingMessage): boolean {
    return wantsTunnel(lineOf(req), knownOf(req).head);
  }

  /** Reads the target, and drops fields that depend on the client. Called when the request's turn has come. */
  #meet(req: IncomingMessage, client: Client): Known {
    const facts = knownOf(req);
    facts.client = client;
    const target = readTarget(req.method ?? "", req.url ?? "");
    if (target) {
      facts.head.authority = target.authority;
      // From here on the target is in origin-form, for the upstream and for the log.
      req.url = facts.path = target.path;
    }
    // An HTTP/1.0 client cannot receive trailers (RFC 9112 7.1).
    if (req.httpVersion !== "1.1") facts.head.takesTrailers = false;
    // A CF-Ray from an untrusted client may be made up: in the log it would point to another request.
    if (!client.trusted) facts.head.ray = undefined;
    return facts;
  }

  request(req: IncomingMessage, res: ServerResponse, client: Client): void {
    const facts = this.#meet(req, client);
    const decision = route(lineOf(req), facts.head, client.trusted, this.#parts.routes);
    if (decision.to === "refuse") return this.#refuse(req, res, decision.code, decision.why);
    if (decision.to === "self") return this.#answer(req, res);
    if (isLoop(facts.head, this.#parts.adds.via)) return this.#refuse(req, res, "loop_detected");
    this.#plain.relay(req, res, (failure) => this.#say(req, res, failure));
  }

  upgrade(req: IncomingMessage, res: ServerResponse, client: Client, early: Buffer): void {
    const facts = this.#meet(req, client);
    const decision = route(lineOf(req), facts.head, client.trusted, this.#parts.routes);
    if (decision.to === "refuse") return this.#refuse(req, res, decision.code, decision.why);
    // The listener calls isUpgrade() first, so the router cannot return "plain" here.
    if (decision.to !== "tunnel") return this.#refuse(req, res, "bad_request");
    if (isLoop(facts.head, this.#parts.adds.via)) return this.#refuse(req, res, "loop_detected");
    if (!this.#hasRoom()) return this.#refuse(req, res, "too_many");
    const url = req.url ?? "/";
    const path = decision.path === undefined ? url : decision.path + url.slice(pathOf(url).length);
    const failed = (failure: Failure): void => this.#say(req, res, failure);
    this.#open(req, res, decision.upstream, failed, { path, early });
  }

  /** Is --max-tunnels not reached? Handshakes that wait for their answer count as tunnels: all may succeed. */
  #hasRoom(): boolean {
    const { tunnels, exchanges } = this.#parts.relay;
    let taken = tunnels.size;
    if (taken + exchanges.size < this.#parts.maxTunnels) return true;
    for (const exchange of exchanges) if (exchange.isHandshake) taken += 1;
    return taken < this.#parts.maxTunnels;
  }

  /** The listener refused a connection, or its client broke off in a head: outside of any exchange. */
  refused(failure: Failure | undefined, id: string, client: Client, brokeOff?: How): void {
    this.#account(failure, id, client, undefined, brokeOff);
  }

  tooLate(req: IncomingMessage, client: Client, why: How): void {
    this.#account(undefined, nextId(), client, req, why, "proxy");
  }

  #open(
    req: IncomingMessage,
    res: ServerResponse,
    upstreamName: string,
    refused: (failure: Failure) => void,
    upgrade?: { path: string; early: Buffer },
  ): void {
    const facts = knownOf(req);
    const { head, client } = facts;
    const link = this.#parts.links.byName.get(upstreamName);
    if (!client || !link) throw new Error(`a request without a client, or for no upstream (${upstreamName})`);
    const line = { method: req.method ?? "", path: upgrade?.path ?? req.url ?? "/" };
    const text = toUpstream(head, line, client, this.#parts.adds, upgrade !== undefined);
    const exchange = new Exchange(this.#parts.relay, {
      req,
      res,
      head,
      client,
      upstream: link.upstream,
      patience: this.#patience(link, req),
      text,
      upgrade,
      refused,
    });
    facts.id = exchange.id;
    exchange.start();
  }

  /**
   * How long a request may wait for its upstream. During an outage, after `navigationHoldMs`, a page load in a browser
   * is not held: it gets the waiting page, which says more than a spinning tab and reloads by itself. All others are
   * held.
   */
  #patience({ monitor }: Link, req: IncomingMessage): Patience {
    const { downMs } = monitor;
    if (downMs === undefined || downMs < this.#parts.navigationHoldMs || !isNavigation(req)) return "hold";
    // A frozen server accepts connections, so even one try would wait for the 504.
    return monitor.isMute ? "none" : "try";
  }

  /** Answers the client when its exchange has failed. The exchange has left its outcome already. */
  #say(req: IncomingMessage, res: ServerResponse, failure: Failure): void {
    const link = failure.upstream === undefined ? undefined : this.#parts.links.byName.get(failure.upstream);
    refuse(res, failure, knownOf(req).id ?? nextId(), link?.monitor.away);
  }

  /** Answers an OPTIONS or TRACE whose `Max-Forwards` is 0: such a request must not be forwarded (RFC 9110 7.6.2). */
  #answer(req: IncomingMessage, res: ServerResponse): void {
    const { method, url, httpVersion, rawHeaders } = req;
    answerSelf(res, method === "TRACE" ? traceOf(`${method} ${url} HTTP/${httpVersion}`, rawHeaders) : undefined);
    this.#parts.relay.observer.ended({
      ...this.#outcomeOf(nextId(), knownOf(req).client, req),
      status: 200,
      by: "proxy",
      how: "done",
    });
  }

  /** Refuses a request before an exchange is opened. */
  #refuse(req: IncomingMessage, res: ServerResponse, code: FailureCode, why?: Why): void {
    const failure = new Failure(code, { why });
    const id = nextId();
    refuse(res, failure, id);
    this.#account(failure, id, knownOf(req).client, req);
  }

  #account(
    failure: Failure | undefined,
    id: string,
    client: Client | undefined,
    req?: IncomingMessage,
    brokeOff?: How,
    side?: Side,
  ): void {
    const { code, status = 0, why } = failure ?? {};
    const by = side ?? (status === 503 ? "proxy" : "client");
    const how = brokeOff ?? (code === "request_timeout" ? "timeout" : code === "bad_request" ? "protocol" : "limit");
    this.#parts.relay.observer.ended({ ...this.#outcomeOf(id, client, req), status, error: code, why, by, how });
  }

  /** The common fields of an outcome without an exchange. */
  #outcomeOf(
    id: string,
    client: Client | undefined,
    req: IncomingMessage | undefined,
  ): Omit<Outcome, "status" | "by" | "how"> {
    const head = req && knownOf(req).head;
    return {
      id,
      kind: "request",
      route: "",
      method: req?.method ?? "",
      path: loggedPath(req?.url ?? ""),
      error: undefined,
      bytesIn: 0,
      bytesOut: 0,
      ms: 0,
      attempts: [],
      phase: "head",
      // As in #meet, which requests that come too late do not reach.
      ray: client?.trusted ? head?.ray : undefined,
      client: client && (head ? clientOf(head, client) : client.address),
    };
  }
}
