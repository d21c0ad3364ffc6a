// One HTTP exchange: the attempts, then the answer, or the tunnel that a 101 opens. Plain requests come here through
// http-proxy (plain.ts), upgrades directly. It never logs: it leaves an Outcome. Every path ends in #leave, once.

import type { Occupant } from "../core/client.ts";
import { Failure, type FailureCode, type How, type Side } from "../core/errors.ts";
import { acceptsOnlyEvents } from "../core/event-source.ts";
import type { Live } from "../core/live-set.ts";
import type { Phase, Proof } from "../core/outcome.ts";
import type { UpstreamConnection } from "../upstream/connection.ts";
import type { Asker } from "../upstream/held.ts";
import { Answer, passInterim } from "./answer.ts";
import { Call, type Caller } from "./call.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { endCut } from "./ending.ts";
import { lateSide, Limits, type Waiting } from "./limits.ts";
import { openTunnel } from "./opened.ts";
import { patienceMs, type Admitted, type Progress, type RelayParts, type Waited } from "./parts.ts";
import { recordOf, type Ending, type ExchangeRecord } from "./record.ts";
import type { RequestBody } from "./request-body.ts";
import { Sending } from "./sending.ts";
import { isWebSocket, type ResponseHead } from "../http/response-head.ts";
import { afterBroken, howRefused } from "./retry.ts";

/** An exchange in progress. */
export class Exchange implements Asker, Caller, Occupant, Live, Waiting {
  readonly id: string;
  /** The name of its upstream. */
  readonly upstream: string;
  /** Does it ask for a tunnel? */
  readonly isHandshake: boolean;
  /** When the last byte of its response came, by the monotonic clock; -Infinity before the first. */
  lastByte: number = -Infinity;
  readonly #parts: RelayParts;
  readonly #in: Admitted;
  readonly #record: ExchangeRecord;
  readonly #limits: Limits;
  readonly #forget: () => void;
  readonly #body: RequestBody | undefined;
  readonly #early: EarlyBytes | undefined;
  readonly #sending: Sending;
  #phase: Phase = "connect";
  #giveUp: (() => void) | undefined;
  #call: Call | undefined;
  #answer: Answer | undefined;
  #retries = 0;
  #waitsSince = 0;
  #eventStream = false;
  #switched = false;
  #settled = false;
  #draining = false;

  constructor(parts: RelayParts, admitted: Admitted) {
    this.#parts = parts;
    this.#in = admitted;
    const { client } = admitted;
    this.#record = recordOf(admitted);
    this.id = this.#record.id;
    this.upstream = admitted.upstream.name;
    this.isHandshake = admitted.upgrade !== undefined;
    this.#sending = new Sending(admitted, parts.options.replayBytes, this.#onBodyProgress);
    this.#body = this.#sending.body;
    if (admitted.upgrade) this.#early = new EarlyBytes(client.socket, admitted.upgrade.early);
    this.#forget = parts.exchanges.add(this);
    this.#limits = new Limits(parts.clock, parts.options, this, client.socket);
    client.occupy(this);
  }

  /** How far it is, for people. */
  get progress(): Progress {
    return { ...this.#record.facts, phase: this.#phase };
  }

  /** Begins an attempt: the first, or another one on a fresh connection. */
  start(): void {
    this.#phase = "connect";
    // The hold limits the wait for a connection; what was left of an earlier attempt's time does not.
    this.#limits.await("nothing");
    this.#giveUp = this.#sending.acquire(this, this.#retries === 0);
  }

  /** What its upstream owes it; undefined unless a response's head is what is waited for. Event streams wait anyway. */
  get waiting(): Waited | undefined {
    if (this.#phase !== "waiting" || acceptsOnlyEvents(this.#in.req)) return undefined;
    return { upstream: this.upstream, since: this.#waitsSince, method: this.#sending.method, path: this.#record.path };
  }

  get patienceMs(): number {
    return patienceMs(this.#in.req, this.#parts.options.responseTimeoutMs);
  }

  onUnavailable({ code }: Failure): void {
    this.#fail(code, "proxy", howRefused(code));
  }

  onTried(code: string): void {
    this.#record.notConnected(code);
  }

  onGranted(connection: UpstreamConnection): void {
    const { upstream, head, text } = this.#in;
    this.#giveUp = undefined;
    this.#record.connected(connection.reused, connection.idleMs);
    const body = this.#body;
    const uploads = body !== undefined && !body.complete && !head.expectsContinue;
    this.#phase = uploads ? "request_body" : "waiting";
    this.#waitsSince = performance.now();
    this.#limits.await(this.isHandshake ? "handshake" : uploads ? "body" : "response");
    this.#call = new Call(upstream, connection, this, this.#sending, this.#parts.options.maxHeaderBytes);
    this.#call.send(text, body);
  }

  onBroken(how: How, code: string, stale: boolean, proof: Proof | undefined): void {
    const responded = this.#call?.responded ?? false;
    // A limit is ours.
    const by = how === "limit" ? "proxy" : "upstream";
    this.#record.failed(code, this.#answer ? undefined : this.#phase, proof);
    if (this.#answer) return this.#settle(by, how);
    this.#body?.suspend();
    this.#call = undefined;
    const repeatable = this.#sending.mayRepeat(proof);
    const verdict = afterBroken({ repeatable, stale, responded, retries: this.#retries, how });
    if (verdict !== "again") return this.#fail(verdict, by, how);
    this.#retries += 1;
    this.start();
  }

  onOver(): void {
    // It answered early and closed: nobody wants the rest of the request.
    if (this.#answer?.finished) this.#settle("upstream", "done");
  }

  onUpstreamDrain(): void {
    this.#body?.resume();
  }

  onInterim(head: ResponseHead): void {
    const { req, res, client } = this.#in;
    if (req.httpVersion === "1.1") passInterim(res, client.socket, head);
    // There may be any number of them.
    if (client.socket.writableNeedDrain) this.#call?.socket.pause();
  }

  onHead(head: ResponseHead): void {
    const { req, res } = this.#in;
    const version = req.httpVersion;
    // Chunks from an HTTP/1.0 client are faulty framing: its connection closes behind the answer (RFC 9112 6.1).
    const closes = this.#draining || this.isHandshake || (version !== "1.1" && this.#in.head.codings.length > 0);
    try {
      this.#answer = new Answer(res, head, { method: req.method ?? "", version, closes });
    } catch {
      return this.#nonsense();
    }
    this.#eventStream = head.eventStream;
    this.#phase = "response_body";
    this.lastByte = this.#parts.clock.now;
    this.#call?.answered(this.lastByte);
    res.on("finish", this.#onAnswered);
    // A stream that begins as we end: its client is told by its head, and comes back to whoever is next.
    if (this.#draining && this.#eventStream) process.nextTick(() => this.drain());
    this.#awaitBody();
  }

  /** Bytes that are HTTP, but no answer to this request. */
  #nonsense(): void {
    this.#record.failed("bad_response");
    this.#fail("upstream_bad_response", "upstream", "protocol");
  }

  onBody(piece: Buffer): void {
    this.lastByte = this.#parts.clock.now;
    const flows = this.#answer?.write(piece) ?? true;
    if (!flows) this.#call?.socket.pause();
    // A client that takes nothing is limited on event streams too: silence is theirs, a full buffer is not.
    if (flows) this.#awaitBody();
    else this.#limits.await("client");
  }

  onRead(): void {
    this.#answer?.flushHead();
  }

  onComplete(last: Buffer | undefined, trailers: string[]): void {
    this.lastByte = this.#parts.clock.now;
    // From now on it is the client's turn, at the end of an event stream, too.
    this.#limits.await("client");
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
      else if (!this.#eventStream) this.#limits.await("body");
      return;
    }
    // A client that waited for a 100 has begun to send by now.
    this.#phase = complete ? "waiting" : "request_body";
    if (complete) this.#waitsSince = this.#parts.clock.now;
    this.#limits.await(complete ? "response" : "body");
  };

  onSwitched(head: ResponseHead, early: Buffer): void {
    // A 101 that was not asked for, or to another protocol: nobody here speaks what follows (RFC 9110 7.8).
    const call = this.isHandshake && isWebSocket(head) ? this.#call : undefined;
    if (!call) return this.#nonsense();
    call.answered(this.#parts.clock.now);
    const socket = call.detach();
    this.#switched = true;
    this.#leave();
    const tunnel = openTunnel(this.#parts, this.#in, this.#record, { upstream: socket, head });
    tunnel.start(this.#early?.take() ?? Buffer.alloc(0), early);
  }

  onClientDrain(): void {
    const call = this.#call;
    if (!call || call.over) return;
    call.socket.resume();
    if (call.complete) this.#limits.await("client");
    else if (this.#answer) this.#awaitBody();
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

  onLate(): void {
    const late = lateSide(this.#phase, { call: this.#call, body: this.#body, answer: this.#answer });
    if (this.#phase === "response_body") return this.#settle(late, "timeout");
    if (late === "client") return this.#fail("request_timeout", "client", "timeout");
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
    const isSilent = this.#answer !== undefined && this.lastByte < since && !this.waitsForClient;
    if (isSilent && upstream === this.upstream) this.#settle("upstream", "timeout");
  }

  /** All of the response came, or would have: it is the client that takes its time. */
  get waitsForClient(): boolean {
    return this.#call?.complete === true || this.#answer?.blocked === true;
  }

  #awaitBody(): void {
    this.#limits.await(this.#eventStream ? "nothing" : "body");
  }

  /** Ends without an answer from the upstream: the client is told why. */
  #fail(code: FailureCode, by: Side, how: How): void {
    if (this.#settled) return;
    const failure = new Failure(code, { upstream: this.upstream, attempts: this.#record.attempts });
    this.#leave();
    this.#body?.discard();
    this.#account({ by, how, status: failure.status, error: code, bytesOut: 0 });
    this.#in.refused(failure);
  }

  /** Ends after the head went out, or because the client left: what is incomplete is cut, so that it looks so. */
  #settle(by: Side, how: How): void {
    if (this.#settled) return;
    const { res, client } = this.#in;
    this.#leave();
    if (this.#body && !this.#body.complete) this.#body.discard();
    if (how !== "done") {
      // What came with the head may have broken the body: the client gets all that was in order, however it came.
      this.#answer?.flush();
      endCut(client.socket, by, this.#answer);
    }
    this.#account({ by, how, status: res.headersSent ? res.statusCode : 0, bytesOut: this.#answer?.bytes ?? 0 });
  }

  /** Lets go of everything that was opened for this exchange. The caller then ends the client's side. */
  #leave(): void {
    this.#settled = true;
    if (this.#answer) this.#in.upstream.heard(this.lastByte);
    this.#giveUp?.();
    this.#limits.stop();
    this.#forget();
    this.#in.client.release(this);
    if (!this.#switched) this.#early?.drop();
    // One that was sent and answered completely has given its connection back; anything else is aborted at once.
    this.#call?.abandon();
  }

  #account(ending: Omit<Ending, "phase" | "bytesIn">): void {
    const phase = this.#phase;
    const left = this.#eventStream && phase === "response_body" && ending.by === "client" && ending.how === "rst";
    const outcome = { ...ending, phase, left, bytesIn: this.#body?.bytes ?? 0 };
    this.#parts.observer.ended(this.#record.outcome(outcome));
  }
}
