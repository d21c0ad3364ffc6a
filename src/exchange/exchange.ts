// One HTTP exchange: the attempts, then the answer, or the tunnel that a 101 opens. Plain requests come here through
// http-proxy (plain.ts), upgrades directly. It never logs: it leaves an Outcome. Every path ends in #leave, once.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Client, Occupant } from "../core/client.ts";
import { Failure, type FailureCode, type How, type Side } from "../core/errors.ts";
import type { Live, LiveSet } from "../core/live-set.ts";
import type { Observer, Phase } from "../core/outcome.ts";
import { cut, finish, reset } from "../core/sockets.ts";
import { FIRST_LOOK, NEXT_LOOK, takenBytes } from "../core/taken.ts";
import type { Clock, Deadline } from "../core/timer.ts";
import type { UpstreamConnection } from "../upstream/connection.ts";
import type { Asker } from "../upstream/held.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { Answer } from "./answer.ts";
import { Call, type Caller } from "./call.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { ExchangeRecord, type Ending } from "./record.ts";
import type { RequestHead } from "../http/request-head.ts";
import { RequestBody } from "./request-body.ts";
import { interimHead, switchingHead, type ResponseHead } from "../http/response-head.ts";
import { afterBroken, isRepeatable } from "./retry.ts";
import { Tunnel, type TunnelEnds, type TunnelOptions } from "../tunnel/tunnel.ts";

/** Limits of an exchange; times in milliseconds, 0 means none. */
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
  /** The head to send. */
  text: string;
  /** Is a 101 welcome? `early` are the bytes that came behind the head. */
  upgrade: { early: Buffer } | undefined;
  /** Answers with a failure; http-proxy's error callback for plain requests. */
  refused(failure: Failure): void;
}

/** How it ended when there was no connection to be had, by what the client is told. */
const GAVE_UP: Partial<Record<FailureCode, How>> = { upstream_unavailable: "timeout", draining: "drain" };

/** An exchange in progress. */
export class Exchange implements Asker, Caller, Occupant, Live, Deadline {
  due: number = Infinity;
  readonly #parts: RelayParts;
  readonly #in: Admitted;
  readonly #record: ExchangeRecord;
  readonly #forget: () => void;
  readonly #unwatch: () => void;
  readonly #body: RequestBody | undefined;
  readonly #early: EarlyBytes | undefined;
  #phase: Phase = "connect";
  #giveUp: (() => void) | undefined;
  #call: Call | undefined;
  #answer: Answer | undefined;
  #retries = 0;
  #lastByte = 0;
  /** How much its client had taken when that was last looked at, while bytes wait. */
  #taken: number | undefined;
  #blockedSince = 0;
  #eventStream = false;
  #switched = false;
  #settled = false;
  #draining = false;

  constructor(parts: RelayParts, admitted: Admitted) {
    this.#parts = parts;
    this.#in = admitted;
    const { req, head, client } = admitted;
    this.#record = new ExchangeRecord({
      route: admitted.upstream.name,
      method: req.method ?? "",
      url: req.url ?? "",
      ray: head.ray,
    });
    if (head.codings.length > 0 || Number(head.length ?? 0) > 0) {
      const copy = isRepeatable(req.method ?? "", head.idempotencyKey) ? parts.options.replayBytes : 0;
      this.#body = new RequestBody(req, head.codings.length > 0, copy, this.#onBodyProgress);
    }
    if (admitted.upgrade) this.#early = new EarlyBytes(client.socket, admitted.upgrade.early);
    this.#forget = parts.exchanges.add(this);
    this.#unwatch = parts.clock.watch(this);
    client.occupy(this);
  }

  get id(): string {
    return this.#record.id;
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
    this.#giveUp = upstream.acquire(this, { pooled: reusable, halfOpen: upgrade !== undefined });
  }

  onUnavailable({ code }: Failure): void {
    this.#fail(code, "proxy", GAVE_UP[code] ?? "limit");
  }

  onTried(code: string): void {
    this.#record.notConnected(code);
  }

  onGranted(connection: UpstreamConnection): void {
    const { req, upstream, upgrade, head, text } = this.#in;
    const { options } = this.#parts;
    this.#giveUp = undefined;
    this.#record.connected(connection.reused, connection.idleMs);
    const call = new Call(upstream, connection, this, req.method ?? "", options.maxHeaderBytes);
    this.#call = call;
    const body = this.#body;
    const uploads = body !== undefined && !body.complete && !head.expectsContinue;
    this.#phase = uploads ? "request_body" : "waiting";
    this.#setDue(upgrade ? options.handshakeTimeoutMs : uploads ? options.bodyTimeoutMs : options.responseTimeoutMs);
    const { socket } = call;
    if (!body) {
      socket.write(text, "latin1");
      return call.requestSent();
    }
    // What has come of the body already goes out in one write with the head.
    socket.cork();
    socket.write(text, "latin1");
    body.sendTo(socket);
    process.nextTick(() => socket.uncork());
    if (body.complete) call.requestSent();
  }

  onBroken(how: How, code: string): void {
    const call = this.#call;
    this.#record.failed(code, this.#answer ? undefined : this.#phase);
    if (this.#answer) return this.#settle("upstream", how);
    this.#body?.suspend();
    this.#call = undefined;
    const verdict = afterBroken({
      method: this.#in.req.method ?? "",
      idempotencyKey: this.#in.head.idempotencyKey,
      responded: call?.responded ?? false,
      replayable: this.#body?.replayable ?? true,
      retries: this.#retries,
      how,
    });
    if (verdict !== "again") return this.#fail(verdict, "upstream", how);
    this.#retries += 1;
    this.#attempt(false);
  }

  onOver(): void {
    // It answered early and closed: nobody wants the rest of the request.
    if (this.#answer?.finished) this.#settle("upstream", "done");
  }

  onUpstreamDrain(): void {
    this.#body?.resume();
  }

  // -- the answer ----------------------------------------------------------------------------------------------------

  onInterim(head: ResponseHead): void {
    const { req, res, client } = this.#in;
    // An HTTP/1.0 client does not know them (RFC 9110 15.2).
    if (req.httpVersion !== "1.1") return;
    if (head.status === 100) res.writeContinue();
    else client.socket.write(interimHead(head), "latin1");
    // There may be any number of them.
    if (client.socket.writableNeedDrain) this.#call?.socket.pause();
  }

  onHead(head: ResponseHead): void {
    const { req, res, upgrade } = this.#in;
    const version = req.httpVersion;
    // Chunks from an HTTP/1.0 client are faulty framing: its connection closes behind the answer (RFC 9112 6.1).
    const odd = version !== "1.1" && this.#in.head.codings.length > 0;
    const closes = this.#draining || upgrade !== undefined || odd;
    try {
      this.#answer = new Answer(res, head, { method: req.method ?? "", version, closes });
    } catch {
      return this.#nonsense();
    }
    this.#eventStream = head.eventStream;
    this.#phase = "response_body";
    this.#lastByte = this.#parts.clock.now;
    this.#in.upstream.answered(this.#lastByte);
    res.on("finish", this.#onAnswered);
    // A stream that begins as we end: its client is told by its head, and comes back to whoever is next.
    if (this.#draining && this.#eventStream) process.nextTick(() => this.drain());
    this.#setDue(this.#eventStream ? 0 : this.#parts.options.bodyTimeoutMs);
  }

  /** Bytes that are HTTP, but no answer to this request. */
  #nonsense(): void {
    this.#record.failed("bad_response");
    this.#fail("upstream_bad_response", "upstream", "protocol");
  }

  onBody(piece: Buffer): void {
    this.#lastByte = this.#parts.clock.now;
    const flows = this.#answer?.write(piece) ?? true;
    if (!flows) this.#call?.socket.pause();
    // A client that takes nothing is limited on event streams too: silence is theirs, a full buffer is not.
    if (flows) this.#setDue(this.#eventStream ? 0 : this.#parts.options.bodyTimeoutMs);
    else this.#awaitClient();
  }

  onRead(): void {
    this.#answer?.flushHead();
  }

  onComplete(last: Buffer | undefined, trailers: string[]): void {
    this.#lastByte = this.#parts.clock.now;
    // From now on it is the client's turn, at the end of an event stream, too.
    this.#awaitClient();
    this.#answer?.end(last, trailers);
  }

  readonly #onAnswered = (): void => {
    // An early answer: the rest of the request still belongs to the upstream, if that is still listening.
    if (this.#body && !this.#body.complete && !this.#call?.over) return;
    this.#settle("upstream", "done");
  };

  readonly #onBodyProgress = (): void => {
    const complete = this.#body?.complete;
    if (complete) this.#call?.requestSent();
    // Its last event can come when its attempt has broken already.
    if (this.#phase === "connect" || this.#settled) return;
    if (this.#answer) {
      if (this.#answer.finished && complete) this.#settle("upstream", "done");
      else if (!this.#eventStream) this.#setDue(this.#parts.options.bodyTimeoutMs);
      return;
    }
    // A client that waited for a 100 has begun to send by now.
    this.#phase = complete ? "waiting" : "request_body";
    this.#setDue(complete ? this.#parts.options.responseTimeoutMs : this.#parts.options.bodyTimeoutMs);
  };

  // -- the upgrade ---------------------------------------------------------------------------------------------------

  onSwitched(head: ResponseHead, early: Buffer): void {
    const { res, client, upstream } = this.#in;
    // A 101 that was not asked for, or to another protocol: nobody here speaks what follows (RFC 9110 7.8).
    const wanted = this.#early && head.upgrade.length === 1 && head.upgrade[0] === "websocket";
    const socket = wanted ? this.#call?.detach() : undefined;
    if (!socket) return this.#nonsense();
    res.detachSocket(client.socket);
    client.socket.write(switchingHead(head), "latin1");
    this.#switched = true;
    this.#parts.observer.opened(upstream.name);
    upstream.answered(this.#parts.clock.now);
    this.#leave();
    const hears = tunnelHears(this.#parts, upstream, this.#record);
    const ends = { client: client.socket, upstream: socket, extensions: head.extensions, ...hears };
    const { id, path } = this.#record;
    const tunnel = new Tunnel(this.#parts, { ...ends, id, route: upstream.name, path });
    tunnel.start(this.#early?.take() ?? Buffer.alloc(0), early);
  }

  // -- endings -------------------------------------------------------------------------------------------------------

  onClientDrain(): void {
    const call = this.#call;
    if (!call || call.over) return;
    call.socket.resume();
    if (!this.#answer) return;
    if (call.complete) this.#awaitClient();
    else this.#setDue(this.#eventStream ? 0 : this.#parts.options.bodyTimeoutMs);
  }

  onClientGone(how: How): void {
    this.#settle("client", how);
  }

  onClientBroke(code: FailureCode): boolean {
    if (this.#in.req.complete) return false;
    const how = code === "request_timeout" ? "timeout" : "protocol";
    if (this.#answer) this.#settle("client", how);
    else this.#fail(code, "client", how);
    return true;
  }

  onDue(now: number): void {
    if (this.#phase === "response_body") {
      if (this.#waitsForClient && this.#clientHasTime(now)) return;
      // An upstream that takes nothing because nothing is taken from it is not the one who is late.
      const answered = this.#call?.complete === true && !this.#body?.blocked;
      return this.#settle(answered || this.#answer?.blocked ? "client" : "upstream", "timeout");
    }
    if (this.#phase === "request_body" && !this.#body?.blocked) {
      return this.#fail("request_timeout", "client", "timeout");
    }
    this.#record.failed("timeout");
    this.#fail("upstream_timeout", "upstream", "timeout");
  }

  /** The exchange in flight is answered, on a connection that then closes. */
  drain(): void {
    this.#draining = true;
    if (!this.#in.res.headersSent) this.#in.res.shouldKeepAlive = false;
    // An endless stream would only wait for the deadline; its client reconnects to whoever comes next.
    if (this.#eventStream) this.#settle("proxy", "drain");
  }

  abandon(): void {
    if (this.#answer) this.#settle("proxy", "drain");
    else this.#fail("draining", "proxy", "drain");
  }

  /** The link was lost: a stream from which nothing came since the first failure is dead. */
  onLinkLost(upstream: string, since: number): void {
    if (upstream !== this.#in.upstream.name || !this.#answer || this.#lastByte >= since) return;
    if (this.#waitsForClient) return;
    this.#settle("upstream", "timeout");
  }

  /** All of the response came, or would have: it is the client that takes its time. */
  get #waitsForClient(): boolean {
    return this.#call?.complete === true || this.#answer?.blocked === true;
  }

  /** From now on bytes wait for the client. */
  #awaitClient(): void {
    this.#taken = undefined;
    this.#blockedSince = this.#parts.clock.now;
    this.#setDue(this.#parts.options.bodyTimeoutMs * FIRST_LOOK);
  }

  /** Has its client time left? A slow reader is no stalled one: what it takes begins its time anew. */
  #clientHasTime(now: number): boolean {
    const { bodyTimeoutMs } = this.#parts.options;
    const before = this.#taken;
    this.#taken = takenBytes(this.#in.client.socket);
    if (before !== undefined && before !== this.#taken) this.#blockedSince = now;
    const leftMs = this.#blockedSince + bodyTimeoutMs - now;
    this.#setDue(Math.min(Math.max(0, leftMs), bodyTimeoutMs * NEXT_LOOK));
    return leftMs > 0;
  }

  #setDue(ms: number): void {
    this.due = ms > 0 ? this.#parts.clock.now + ms : Infinity;
  }

  /** Ends without an answer from the upstream: the client is told why. */
  #fail(code: FailureCode, by: Side, how: How): void {
    if (this.#settled) return;
    const failure = new Failure(code, { upstream: this.#in.upstream.name, attempts: this.#record.attempts });
    this.#leave();
    this.#body?.discard();
    this.#account({ by, how, status: failure.status, error: code, bytesOut: 0 });
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
      if (this.#answer?.closeDelimited) reset(client.socket);
      else if (by === "client") cut(client.socket);
      else finish(client.socket);
    } else if (this.#body && !this.#body.complete) this.#body.discard();
    this.#account({ by, how, status, bytesOut: this.#answer?.bytes ?? 0 });
  }

  /** Lets go of everything that was opened for this exchange. The caller then ends the client's side. */
  #leave(): void {
    this.#settled = true;
    this.#giveUp?.();
    this.#unwatch();
    this.#forget();
    this.#in.client.release(this);
    if (!this.#switched) this.#early?.drop();
    // One that was sent and answered completely has given its connection back; anything else is aborted at once.
    this.#call?.abandon();
  }

  #account(ending: Omit<Ending, "phase" | "bytesIn">): void {
    const bytesIn = this.#body?.bytes ?? 0;
    this.#parts.observer.ended(this.#record.outcome({ ...ending, phase: this.#phase, bytesIn }));
  }
}

/** Who hears of a tunnel. Not the exchange: a tunnel lives for weeks, and would keep both heads and node's objects. */
function tunnelHears(
  { observer, clock }: RelayParts,
  upstream: Upstream,
  record: ExchangeRecord,
): Pick<TunnelEnds, "ended" | "ponged"> {
  return {
    ended: (by, how, bytesIn, bytesOut) =>
      observer.ended(record.outcome({ by, how, phase: "tunnel", status: 101, bytesIn, bytesOut })),
    ponged: (side, rttMs) => {
      if (side === "upstream") upstream.heard(clock.now);
      observer.ponged(side, rttMs);
    },
  };
}
