// One HTTP exchange: a request, its attempts, and then the response, or the tunnel of a 101. Plain requests come from
// http-proxy (plain.ts), upgrades from gate.ts. Never logs: leaves an Outcome. Every path ends in #leave, once.

import type { Membership } from "../core/bag.ts";
import type { Occupant } from "../core/client.ts";
import { Failure, type FailureCode, type How, type Side, type Why } from "../core/errors.ts";
import { acceptsOnlyEvents } from "../core/event-source.ts";
import type { Live } from "../core/live-set.ts";
import type { Phase, Proof } from "../core/outcome.ts";
import type { UpstreamConnection } from "../upstream/connection.ts";
import type { Asker } from "../upstream/held.ts";
import { Answer, passInterim } from "./answer.ts";
import { Call, type Caller } from "./call.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { endCut } from "./ending.ts";
import type { Relayed } from "./event-relay.ts";
import { lateSide, Limits, type Waiting } from "./limits.ts";
import { openTunnel } from "./opened.ts";
import { patienceMs, type Admitted, type Progress, type RelayParts, type Waited } from "./parts.ts";
import { recordOf, type Ending, type ExchangeRecord } from "./record.ts";
import type { RequestBody } from "./request-body.ts";
import { Sending } from "./sending.ts";
import { isWebSocket, type ResponseHead } from "../http/response-head.ts";
import { afterBroken, howRefused } from "./retry.ts";

/** An exchange in progress. */
export class Exchange implements Asker, Caller, Occupant, Live, Relayed, Waiting {
  readonly id: string;
  /** The name of the upstream. */
  readonly upstream: string;
  /** Is this a WebSocket handshake? */
  readonly isHandshake: boolean;
  readonly #parts: RelayParts;
  readonly #in: Admitted;
  readonly #record: ExchangeRecord;
  readonly #limits: Limits;
  readonly #open: Membership;
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
    this.#open = parts.exchanges.add(this);
    this.#limits = new Limits(parts.clock, parts.options, this, client.socket);
    client.occupy(this);
  }

  /** When the last byte of the response came, by the monotonic clock; -Infinity before the first. */
  get lastByte(): number {
    return this.#answer?.lastByte ?? -Infinity;
  }

  /** The progress, for the report. */
  get progress(): Progress {
    return { ...this.#record.facts, phase: this.#phase };
  }

  /** Begins an attempt: the first, or another one on a fresh connection. */
  start(): void {
    this.#phase = "connect";
    // No time limit here: waiting for a connection is limited by --hold and --connect-timeout.
    this.#limits.await("nothing");
    this.#giveUp = this.#sending.acquire(this, this.#retries === 0);
  }

  /** The response head that this exchange waits for; undefined when it does not. Event streams may always wait. */
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
    const uploads = this.#body?.complete === false && !head.expectsContinue;
    this.#phase = uploads ? "request_body" : "waiting";
    this.#waitsSince = performance.now();
    this.#limits.await(this.isHandshake ? "handshake" : uploads ? "body" : "response");
    this.#call = new Call(upstream, connection, this, this.#sending, this.#parts.options.maxHeaderBytes);
    this.#call.send(text, this.#body);
  }

  onBroken(how: How, code: string, stale: boolean, proof: Proof | undefined): void {
    const responded = this.#call?.responded ?? false;
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
    // The upstream answered early, and will not read the rest of the request.
    if (this.#answer?.finished) this.#settle("upstream", "done");
  }

  onUpstreamDrain(): void {
    this.#body?.resume();
  }

  onInterim(head: ResponseHead): void {
    const { req, res, client } = this.#in;
    if (req.httpVersion === "1.1") passInterim(res, client.socket, head);
    // An upstream may send any number of 1xx responses, so they need backpressure, too.
    if (client.socket.writableNeedDrain) this.#call?.socket.pause();
  }

  onHead(head: ResponseHead): void {
    const { req, res } = this.#in;
    const { clock } = this.#parts;
    const version = req.httpVersion;
    // Chunks from an HTTP/1.0 client are faulty framing: the connection closes after the response (RFC 9112 6.1).
    const closes = this.#draining || this.isHandshake || (version !== "1.1" && this.#in.head.codings.length > 0);
    try {
      this.#answer = new Answer(res, head, { method: req.method ?? "", version, closes }, clock);
    } catch {
      return this.#nonsense();
    }
    this.#eventStream = head.eventStream;
    this.#phase = "response_body";
    this.#call?.answered(clock.now);
    res.on("finish", this.#onAnswered);
    // An event stream that begins during the drain is ended behind its head, so that the client reconnects.
    if (this.#draining && this.#eventStream) process.nextTick(() => this.drain());
    this.#awaitBody();
  }

  /** Valid HTTP that cannot be the response to this request. */
  #nonsense(): void {
    this.#record.failed("bad_response");
    this.#fail("upstream_bad_response", "upstream", "protocol");
  }

  onBody(piece: Buffer): void {
    const flows = this.#answer?.write(piece) ?? true;
    if (flows) this.#awaitBody();
    else this.onBlocked();
  }

  onRead(): void {
    this.#answer?.flushHead();
    const call = this.#call;
    if (this.#eventStream && call?.complete === false && !this.#settled) this.#answer?.shorten(call, this);
  }

  /** The client's socket is full. A client that takes nothing is late also when the events themselves may be silent. */
  onBlocked(): void {
    this.#call?.socket.pause();
    this.#limits.await("client");
  }

  onComplete(last: Buffer | undefined, trailers: string[]): void {
    // From now on the exchange waits for the client only; after an event stream, too.
    this.#limits.await("client");
    this.#answer?.end(last, trailers);
  }

  readonly #onAnswered = (): void => {
    // An early answer: goes on sending the rest of the request, while the upstream still reads.
    if (this.#body && !this.#body.complete && !this.#call?.over) return;
    this.#settle("upstream", "done");
  };

  readonly #onBodyProgress = (): void => {
    const complete = this.#body?.complete;
    if (complete) this.#call?.requestSent();
    // The body may be complete only after its attempt has failed.
    if (this.#phase === "connect" || this.#settled) return;
    if (this.#answer) {
      if (this.#answer.finished && complete) this.#settle("upstream", "done");
      else if (!this.#eventStream) this.#limits.await("body");
      return;
    }
    // Also for a client that has waited for a 100 and sends now.
    this.#phase = complete ? "waiting" : "request_body";
    if (complete) this.#waitsSince = this.#parts.clock.now;
    this.#limits.await(complete ? "response" : "body");
  };

  onSwitched(head: ResponseHead, early: Buffer): void {
    // Refuses a 101 that was not asked for, or one to another protocol than WebSocket (RFC 9110 7.8).
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

  onClientBroke({ code, why }: Failure): boolean {
    if (this.#in.req.complete) return false;
    const how = code === "request_timeout" ? "timeout" : "protocol";
    if (this.#answer) this.#settle("client", how);
    else this.#fail(code, "client", how, why);
    return true;
  }

  onLate(): void {
    const late = lateSide(this.#phase, { call: this.#call, body: this.#body, answer: this.#answer });
    if (this.#phase === "response_body") return this.#settle(late, "timeout");
    if (late === "client") return this.#fail("request_timeout", "client", "timeout");
    this.#record.failed("timeout");
    this.#fail("upstream_timeout", "upstream", "timeout");
  }

  /** Completes the exchange, on a connection that then closes. */
  drain(): void {
    this.#draining = true;
    if (!this.#in.res.headersSent) this.#in.res.shouldKeepAlive = false;
    // Event streams do not end by themselves: end them now. Their clients reconnect, to the successor.
    if (this.#eventStream) this.#settle("proxy", "drain");
  }

  abandon(): void {
    if (this.#answer) this.#settle("proxy", "drain");
    else this.#fail("draining", "proxy", "drain");
  }

  /** An upstream was lost. Ends a response from it without a byte since the outage began, unless its client is slow. */
  onLinkLost(upstream: string, since: number): void {
    const isSilent = this.#answer !== undefined && this.lastByte < since && !this.waitsForClient;
    if (isSilent && upstream === this.upstream) this.#settle("upstream", "timeout");
  }

  /** Does the exchange wait for the client only? The response is complete, or paused because the client is slow. */
  get waitsForClient(): boolean {
    return this.#call?.complete === true || this.#answer?.blocked === true;
  }

  #awaitBody(): void {
    this.#limits.await(this.#eventStream ? "nothing" : "body");
  }

  /** Ends the exchange without a response from the upstream: the client gets an error answer. */
  #fail(code: FailureCode, by: Side, how: How, why?: Why): void {
    if (this.#settled) return;
    const failure = new Failure(code, { upstream: this.upstream, attempts: this.#record.attempts, why });
    this.#leave();
    this.#body?.discard();
    this.#account({ by, how, status: failure.status, error: code, why, bytesOut: 0 });
    this.#in.refused(failure);
  }

  /** Ends the exchange after the head was sent, or because the client left. An incomplete answer is cut visibly. */
  #settle(by: Side, how: How): void {
    if (this.#settled) return;
    const { res, client } = this.#in;
    this.#leave();
    if (this.#body && !this.#body.complete) this.#body.discard();
    if (how !== "done") {
      // All valid bytes go out before the connection is ended, also those that came in one chunk with the fault.
      this.#answer?.flush();
      endCut(client.socket, by, this.#answer);
    }
    this.#account({ by, how, status: res.headersSent ? res.statusCode : 0, bytesOut: this.#answer?.bytes ?? 0 });
  }

  /** Releases everything that this exchange uses. The caller then answers the client, or ends its connection. */
  #leave(): void {
    this.#settled = true;
    if (this.#answer) this.#in.upstream.heard(this.lastByte);
    this.#giveUp?.();
    this.#limits.stop();
    this.#open.leave();
    this.#in.client.release(this);
    if (!this.#switched) this.#early?.drop();
    // Does nothing for a complete attempt, whose connection is back in the pool; all others are aborted.
    this.#call?.abandon();
  }

  #account({ by, how, status, error, why, bytesOut }: Omit<Ending, "phase" | "bytesIn" | "left">): void {
    const phase = this.#phase;
    const left = this.#eventStream && phase === "response_body" && by === "client" && how === "rst";
    const bytesIn = this.#body?.bytes ?? 0;
    // Not `...ending`: a spread took as long as all else that is done here.
    const ending: Required<Ending> = { by, how, phase, status, error, why, bytesIn, bytesOut, left };
    this.#parts.observer.ended(this.#record.outcome(ending));
  }
}
