// One HTTP exchange: the attempts, then the answer, or the tunnel that a 101 opens. Plain requests come here through
// http-proxy (plain.ts), upgrades directly. It never logs: it leaves an Outcome. Every path ends in #settle, once.

import { ClientRequest, type Agent, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Client, Occupant } from "../core/client.ts";
import { codeOf, Failure, howOf, type FailureCode, type How, type Side } from "../core/errors.ts";
import type { Live, LiveSet } from "../core/live-set.ts";
import { nextId, type Attempt, type Observer, type Outcome, type Phase } from "../core/outcome.ts";
import { cut, finish, guard, reset } from "../core/sockets.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import type { Grant, Upstream } from "../upstream/upstream.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { interimHead, passTrailers, switchingHead, toClient, type RequestHead } from "./headers.ts";
import { RequestBody } from "./request-body.ts";
import { afterBroken, isRepeatable } from "./retry.ts";
import { Tunnel, type TunnelOptions } from "./tunnel.ts";

/** Limits of an exchange; times in milliseconds, 0 means none (SPEC 3.3, 3.5, 4.1). */
export interface RelayOptions extends TunnelOptions {
  /** Until the response's head, counted from the end of the request. */
  responseTimeoutMs: number;
  /** Until the answer to an upgrade. */
  handshakeTimeoutMs: number;
  /** A body that moves no byte. */
  bodyTimeoutMs: number;
  /** Bytes of a body kept for another attempt. */
  replayBytes: number;
  maxHeaderBytes: number;
}

/** What every exchange shares. */
export interface RelayParts {
  clock: Clock;
  tunnels: LiveSet<Tunnel>;
  exchanges: LiveSet<Exchange>;
  observer: Observer;
  options: RelayOptions;
}

/** One request that was let in. */
export interface Admitted {
  req: IncomingMessage;
  res: ServerResponse;
  head: RequestHead;
  client: Client;
  upstream: Upstream;
  /** The request target to ask for. */
  path: string;
  /** The fields to send. */
  fields: string[];
  /** Is a 101 welcome? `early` are the bytes that came behind the head. */
  upgrade: { early: Buffer } | undefined;
  /** Answers with a failure; http-proxy's error callback for plain requests. */
  refused(failure: Failure): void;
}

/** Hands an acquired socket to node's HTTP client: acquiring and asking are two steps here (SPEC 3.3). */
const handOver = {
  protocol: "http:",
  keepAlive: true,
  addRequest(request: ClientRequest, options: { granted: Socket }): void {
    request.onSocket(options.granted);
  },
} as unknown as Agent;

// A reason phrase node:http would not write (RFC 9112 4).
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const BAD_REASON = /[^\t\x20-\x7e\x80-\xff]/;

/** Sends the head before a body. Node's flushHeaders() would send it as UTF-8, which changes every byte above 0x7f. */
function sendHead(message: ClientRequest | ServerResponse): void {
  message.write("", "latin1");
}

/** An exchange in progress. */
export class Exchange implements Occupant, Live, Deadline {
  due: number = Infinity;
  readonly id: string = nextId();
  readonly #parts: RelayParts;
  readonly #in: Admitted;
  readonly #started = performance.now();
  readonly #attempts: Attempt[] = [];
  readonly #forget: () => void;
  readonly #unwatch: () => void;
  readonly #body: RequestBody | undefined;
  readonly #early: EarlyBytes | undefined;
  #phase: Phase = "connect";
  #giveUp: (() => void) | undefined;
  #upReq: ClientRequest | undefined;
  #upRes: IncomingMessage | undefined;
  #grant: Grant | undefined;
  #grantBytes = 0;
  #retries = 0;
  #bytesOut = 0;
  #lastByte = 0;
  #eventStream = false;
  /** Does nothing but a FIN say that the body is complete: the upstream's, and ours to the client? */
  #endsWithFin = false;
  #closeDelimited = false;
  #keepAliveHint: number | undefined;
  #switched = false;
  #settled = false;
  #draining = false;

  constructor(parts: RelayParts, admitted: Admitted) {
    this.#parts = parts;
    this.#in = admitted;
    const { req, head, client } = admitted;
    if (head.codings.length > 0 || Number(head.length ?? 0) > 0) {
      const copy = isRepeatable(req.method ?? "", head.idempotencyKey) ? parts.options.replayBytes : 0;
      this.#body = new RequestBody(req, head.codings.length > 0, copy, this.#onBodyProgress);
    }
    if (admitted.upgrade) this.#early = new EarlyBytes(client.socket, admitted.upgrade.early);
    this.#forget = parts.exchanges.add(this);
    this.#unwatch = parts.clock.watch(this);
    client.occupy(this);
  }

  /** Does it ask for a tunnel? */
  get isHandshake(): boolean {
    return this.#in.upgrade !== undefined;
  }

  /** Begins the first attempt. */
  start(): void {
    this.#attempt(true);
  }

  // -- attempts ----------------------------------------------------------------------------------------------------

  #attempt(pooled: boolean): void {
    const { req, head, upstream, upgrade } = this.#in;
    const { replayBytes } = this.#parts.options;
    this.#phase = "connect";
    // The hold limits the wait for a connection; what was left of an earlier attempt's time does not.
    this.#setDue(0);
    // A POST always gets a fresh connection: nothing tells a stale one from a live one, and it is never sent twice.
    // Nor is a body too long to be kept.
    const kept = !this.#body || (head.codings.length === 0 && Number(head.length) <= replayBytes);
    const reusable = pooled && kept && isRepeatable(req.method ?? "", head.idempotencyKey);
    this.#giveUp = upstream.acquire({
      maxIdleMs: reusable ? Infinity : 0,
      halfOpen: upgrade !== undefined,
      hold: true,
      granted: (grant) => this.#send(grant),
      failed: (failure) =>
        this.#fail(failure.code, "proxy", failure.code === "upstream_unavailable" ? "timeout" : "limit"),
      tried: (code) => this.#note({ reused: false, idleMs: 0, code, phase: "connect", times: 1 }),
    });
  }

  /** Records an attempt; the same failure to connect many times in a row is one entry. */
  #note(attempt: Attempt): void {
    const last = this.#attempts.at(-1);
    if (last && attempt.phase === "connect" && last.phase === "connect" && last.code === attempt.code) last.times += 1;
    else this.#attempts.push(attempt);
  }

  #send(grant: Grant): void {
    const { upgrade, head } = this.#in;
    const { options } = this.#parts;
    this.#giveUp = undefined;
    this.#grant = grant;
    this.#grantBytes = grant.socket.bytesRead;
    this.#attempts.push({ reused: grant.reused, idleMs: Math.round(grant.idleMs), phase: "waiting", times: 1 });
    const request = this.#request(grant.socket);
    if (!request) return this.#fail("bad_request", "client", "protocol");
    this.#phase = "waiting";
    if (this.#body && !this.#body.complete && !head.expectsContinue) this.#phase = "request_body";
    if (this.#body) {
      sendHead(request);
      this.#body.sendTo(request, grant.socket);
    } else request.end();
    const uploads = this.#phase === "request_body";
    this.#setDue(upgrade ? options.handshakeTimeoutMs : uploads ? options.bodyTimeoutMs : options.responseTimeoutMs);
  }

  /** Writes the request's head on a connection; undefined if node:http finds it is none. */
  #request(socket: Socket): ClientRequest | undefined {
    const { req, path, fields } = this.#in;
    const { maxHeaderBytes: maxHeaderSize } = this.#parts.options;
    const asked = { agent: handOver, granted: socket, method: req.method, path, headers: fields, maxHeaderSize };
    let request: ClientRequest;
    try {
      request = new ClientRequest(asked);
    } catch {
      return undefined;
    }
    // No cap on the number of fields: what node would drop, its parser honours (appendix A, 2).
    request.maxHeadersCount = 0;
    this.#upReq = request;
    const mine = (): boolean => this.#upReq === request && !this.#settled;
    request.on("response", (response) => mine() && this.#onResponse(response));
    request.on("information", (info) => mine() && this.#onInterim(info));
    request.on("upgrade", (response, upgraded, early) => this.#onUpgraded(response, upgraded, early));
    request.on("error", (error) => mine() && this.#onBroken(error));
    request.on("close", () => this.#onRequestClosed(request, socket));
    return request;
  }

  /** The attempt's connection broke before its answer was complete. */
  #onBroken(error: unknown): void {
    const socket = this.#grant?.socket;
    // After the head the response's own close tells; an answer that is complete stays complete.
    if (this.#upRes || !socket) return;
    const fate = guard(socket);
    const how = codeOf(error).startsWith("HPE_") ? "protocol" : (fate.how ?? howOf(error));
    const attempt = this.#attempts.at(-1);
    if (attempt) Object.assign(attempt, { code: fate.code ?? codeOf(error), phase: this.#phase });
    this.#body?.suspend();
    this.#upReq = undefined;
    cut(socket);
    const verdict = afterBroken({
      method: this.#in.req.method ?? "",
      idempotencyKey: this.#in.head.idempotencyKey,
      responded: socket.bytesRead > this.#grantBytes,
      replayable: this.#body?.replayable ?? true,
      retries: this.#retries,
      how,
    });
    if (verdict !== "again") return this.#fail(verdict, "upstream", how);
    this.#retries += 1;
    this.#attempt(false);
  }

  #onRequestClosed(request: ClientRequest, socket: Socket): void {
    if (this.#upReq !== request || !this.#upRes?.complete) return;
    if (!socket.destroyed) {
      // Both halves are complete, or node would not have closed the request on an open connection.
      if (request.shouldKeepAlive && !this.#in.upgrade) this.#in.upstream.putBack(socket, this.#keepAliveHint);
      else cut(socket);
    } else if (this.#in.res.writableFinished) {
      // It answered early and closed: nobody wants the rest of the request.
      this.#settle("upstream", "done");
    }
  }

  // -- the answer ----------------------------------------------------------------------------------------------------

  #onInterim(info: { statusCode: number; statusMessage: string; rawHeaders: string[] }): void {
    const { req, res, client } = this.#in;
    // An HTTP/1.0 client does not know them (RFC 9110 15.2).
    if (req.httpVersion !== "1.1") return;
    if (info.statusCode === 100) res.writeContinue();
    else client.socket.write(interimHead(info.statusCode, info.statusMessage, info.rawHeaders), "latin1");
  }

  #onResponse(response: IncomingMessage): void {
    const { req, res } = this.#in;
    const status = response.statusCode ?? 0;
    const bodiless = req.method === "HEAD" || status === 204 || status === 304;
    const chunkable = req.httpVersion === "1.1";
    const head = toClient(response.rawHeaders, status, chunkable, bodiless);
    if (!head.wellFramed || status < 200 || BAD_REASON.test(response.statusMessage ?? "")) return this.#nonsense();
    this.#eventStream = head.eventStream;
    this.#endsWithFin = head.framing === "close" && !bodiless;
    this.#keepAliveHint = head.keepAliveMs;
    if (this.#draining || this.#in.upgrade || (!chunkable && this.#in.head.codings.length > 0))
      res.shouldKeepAlive = false;
    if (!chunkable && !bodiless && head.framing !== "length") {
      this.#closeDelimited = true;
      res.shouldKeepAlive = false;
      // Said before the head is written, this makes node end the body with the connection and not with a chunk.
      res.removeHeader("transfer-encoding");
    }
    try {
      res.writeHead(status, response.statusMessage, head.fields);
    } catch {
      return this.#nonsense();
    }
    this.#upRes = response;
    this.#phase = "response_body";
    this.#lastByte = this.#parts.clock.now;
    this.#in.upstream.answered(this.#lastByte);
    response.on("data", this.#onData);
    response.on("end", this.#onEnd);
    response.on("close", this.#onResponseClosed);
    res.on("finish", this.#onAnswered);
    // A head without a first byte of body (SSE) must not wait for one; one that came together goes out together.
    process.nextTick(() => {
      if (!this.#settled && !res.writableEnded && this.#bytesOut === 0) sendHead(res);
    });
    this.#setDue(this.#eventStream ? 0 : this.#parts.options.bodyTimeoutMs);
  }

  #nonsense(): void {
    const attempt = this.#attempts.at(-1);
    if (attempt) attempt.code = "bad_response";
    this.#fail("upstream_bad_response", "upstream", "protocol");
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytesOut += chunk.length;
    this.#lastByte = this.#parts.clock.now;
    const flows = this.#in.res.write(chunk);
    if (!flows) this.#upRes?.pause();
    // A client that takes nothing is limited on event streams too: silence is theirs, a full buffer is not.
    this.#setDue(this.#eventStream && flows ? 0 : this.#parts.options.bodyTimeoutMs);
  };

  readonly #onEnd = (): void => {
    const { res } = this.#in;
    // For node any end of the connection completes such a body, a RST behind the last bytes too.
    const how = this.#grant && guard(this.#grant.socket).how;
    if (this.#endsWithFin && how !== "fin") return this.#settle("upstream", how ?? "protocol");
    const trailers = this.#upRes?.rawTrailers ?? [];
    if (trailers.length > 0 && res.chunkedEncoding) res.addTrailers(passTrailers(trailers));
    res.end();
  };

  /** The upstream is gone. Had the body been complete, `end` came first. */
  readonly #onResponseClosed = (): void => {
    if (this.#upRes?.complete) return;
    const fate = this.#grant && guard(this.#grant.socket);
    const attempt = this.#attempts.at(-1);
    if (attempt && fate?.code !== undefined) attempt.code = fate.code;
    this.#settle("upstream", fate?.how ?? "protocol");
  };

  readonly #onAnswered = (): void => {
    // An early answer: the rest of the request still belongs to the upstream, if that is still listening.
    if (this.#body && !this.#body.complete && !this.#upReq?.destroyed) return;
    this.#settle("upstream", "done");
  };

  readonly #onBodyProgress = (): void => {
    // Its last event can come when its attempt has broken already.
    if (this.#phase === "connect") return;
    if (this.#upRes) {
      if (this.#in.res.writableFinished && this.#body?.complete) this.#settle("upstream", "done");
      else if (!this.#eventStream) this.#setDue(this.#parts.options.bodyTimeoutMs);
      return;
    }
    if (this.#body?.complete) this.#phase = "waiting";
    this.#setDue(this.#body?.complete ? this.#parts.options.responseTimeoutMs : this.#parts.options.bodyTimeoutMs);
  };

  // -- the upgrade ---------------------------------------------------------------------------------------------------

  #onUpgraded(response: IncomingMessage, socket: Socket, early: Buffer): void {
    const { res, client, upstream } = this.#in;
    const { observer } = this.#parts;
    const path = pathWithoutQuery(this.#in.req.url ?? "");
    // A 101 that was not asked for, or to another protocol: nobody here speaks what follows (RFC 9110 7.8).
    const wanted = this.#early && response.headers.upgrade?.toLowerCase() === "websocket";
    if (this.#settled || !wanted) {
      cut(socket);
      if (!this.#settled) this.#nonsense();
      return;
    }
    res.detachSocket(client.socket);
    client.socket.write(switchingHead(response.rawHeaders), "latin1");
    const ended = (by: Side, how: How, bytesIn: number, bytesOut: number): void => {
      this.#phase = "tunnel";
      this.#account(by, how, 101, undefined, bytesIn, bytesOut);
    };
    const ponged = (side: "client" | "upstream", rttMs: number): void => {
      if (side === "upstream") upstream.heard(this.#parts.clock.now);
      observer.ponged(side, rttMs);
    };
    this.#switched = true;
    observer.opened(upstream.name);
    upstream.answered(this.#parts.clock.now);
    this.#leave();
    const extensions = response.headers["sec-websocket-extensions"] !== undefined;
    const ends = { client: client.socket, upstream: socket, extensions, ended, ponged };
    const tunnel = new Tunnel(this.#parts, { ...ends, id: this.id, route: upstream.name, path });
    tunnel.start(this.#early?.take() ?? Buffer.alloc(0), early);
  }

  // -- endings -------------------------------------------------------------------------------------------------------

  onClientDrain(): void {
    this.#upRes?.resume();
    if (this.#eventStream) this.#setDue(0);
  }

  onClientGone(how: How): void {
    this.#settle("client", how);
  }

  onClientBroke(code: FailureCode): boolean {
    if (this.#in.req.complete) return false;
    if (this.#upRes) this.#settle("client", "protocol");
    else this.#fail(code, "client", code === "request_timeout" ? "timeout" : "protocol");
    return true;
  }

  onDue(): void {
    if (this.#phase === "response_body")
      return this.#settle(this.#in.res.writableNeedDrain ? "client" : "upstream", "timeout");
    if (this.#phase === "request_body" && !this.#body?.blocked)
      return this.#fail("request_timeout", "client", "timeout");
    const attempt = this.#attempts.at(-1);
    if (attempt) attempt.code = "timeout";
    this.#fail("upstream_timeout", "upstream", "timeout");
  }

  /** What is in flight is answered, on a connection that then closes (SPEC 7.3). */
  drain(): void {
    this.#draining = true;
    if (!this.#in.res.headersSent) this.#in.res.shouldKeepAlive = false;
    // An endless stream would only wait for the deadline; its client reconnects to whoever comes next.
    if (this.#eventStream) this.#settle("proxy", "drain");
  }

  abandon(): void {
    if (this.#upRes) this.#settle("proxy", "drain");
    else this.#fail("draining", "proxy", "drain");
  }

  /** The link was lost: a stream from which nothing came since the first failure is dead (SPEC 6.2). */
  onLinkLost(upstream: string, since: number): void {
    if (upstream !== this.#in.upstream.name || !this.#upRes || this.#lastByte >= since) return;
    // All of it came, or would have: it is the client that takes its time.
    if (this.#upRes.complete || this.#in.res.writableNeedDrain) return;
    this.#settle("upstream", "timeout");
  }

  #setDue(ms: number): void {
    this.due = ms > 0 ? this.#parts.clock.now + ms : Infinity;
  }

  /** Ends without an answer from the upstream: the client is told why. */
  #fail(code: FailureCode, by: Side, how: How): void {
    if (this.#settled) return;
    const attempts = this.#attempts.reduce((sum, attempt) => sum + attempt.times, 0);
    const failure = new Failure(code, { upstream: this.#in.upstream.name, attempts });
    this.#leave();
    this.#body?.discard();
    this.#account(by, how, failure.status, code, this.#body?.bytes ?? 0, 0);
    this.#in.refused(failure);
  }

  /** Ends after the head went out, or because the client left: what is incomplete is cut, so that it looks so. */
  #settle(by: Side, how: How): void {
    if (this.#settled) return;
    const { res, client } = this.#in;
    const status = res.headersSent ? res.statusCode : 0;
    this.#leave();
    if (how !== "done") {
      // A FIN is how a close-delimited body ends well, so a cut one has to end otherwise.
      if (this.#closeDelimited) reset(client.socket);
      else if (by === "client") cut(client.socket);
      else finish(client.socket);
    } else if (this.#body && !this.#body.complete) this.#body.discard();
    this.#account(by, how, status, undefined, this.#body?.bytes ?? 0, this.#bytesOut);
  }

  /** Lets go of everything that was opened for this exchange. The caller then ends the client's side. */
  #leave(): void {
    this.#settled = true;
    this.#giveUp?.();
    this.#unwatch();
    this.#forget();
    this.#in.client.release(this);
    // A request that was sent and answered completely is not in the way; anything else is aborted at once.
    const whole = this.#upRes?.complete && this.#upReq?.writableFinished;
    if (!this.#switched) this.#early?.drop();
    if (this.#grant && !whole && !this.#switched) cut(this.#grant.socket);
  }

  #account(
    by: Side,
    how: How,
    status: number,
    error: FailureCode | undefined,
    bytesIn: number,
    bytesOut: number,
  ): void {
    const { req, head, upstream } = this.#in;
    const outcome: Outcome = {
      id: this.id,
      kind: this.#phase === "tunnel" ? "tunnel" : "request",
      route: upstream.name,
      method: req.method ?? "",
      path: pathWithoutQuery(req.url ?? ""),
      status,
      error,
      bytesIn,
      bytesOut,
      ms: Math.round(performance.now() - this.#started),
      attempts: this.#attempts,
      by,
      how,
      phase: this.#phase,
      ray: head.ray,
    };
    this.#parts.observer.ended(outcome);
  }
}

function pathWithoutQuery(url: string): string {
  const query = url.indexOf("?");
  return query < 0 ? url : url.slice(0, query);
}
