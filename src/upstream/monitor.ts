// Watches the link to one upstream: learns from its traffic, probes the upstream when there is none, and reports
// changes of its state. Made by proxy/links.ts beside each Upstream. state.ts decides the next state; this file acts.

import { faultOf } from "../core/errors.ts";
import type { Address } from "../core/target.ts";
import { thisMoment, type Moment } from "../core/moment.ts";
import type { Clock } from "../core/timer.ts";
import { probeBytes, probeConnect, probeHttp } from "./probe.ts";
import { failed, nextProbeMs, seen, UNSEEN, type LinkFacts, type LinkState } from "./state.ts";
import type { UpstreamWatcher } from "./upstream.ts";
import type { Whereabouts } from "./whereabouts.ts";

/** The options of a monitor, in milliseconds. */
export interface MonitorOptions {
  /** Time between two probes while there is no traffic; 0 never probes. */
  intervalMs: number;
  timeoutMs: number;
  /** Probe by GET of this path; any status below 500 is good. Undefined to probe by connecting. */
  httpPath: string | undefined;
}

/** What a probe waits for: a connection, any byte, or a good status. */
export type ProbeKind = "connect" | "byte" | "http";

/** The state of one link, for the report. Times are ISO dates. */
export interface LinkStatus {
  name: string;
  target: string;
  state: LinkState;
  reconnectCount: number;
  reconnectTries: number;
  connectedSince: string | undefined;
  lastProbeAt: string | undefined;
  lastProbeOk: boolean | undefined;
  lastProbeKind: ProbeKind | undefined;
  /** Why the last probe failed. */
  lastError: string | undefined;
  /** Since the last byte from the upstream. */
  lastHeardAgeMs: number | undefined;
  /** The latest changes, the oldest first. */
  history: LinkChange[];
}

/** One change of a link's state. */
export interface LinkChange {
  at: string;
  state: LinkState;
  reason: string | undefined;
}

const MAX_HISTORY = 50;
/**
 * Time to the next probe, in milliseconds, when this machine had no descriptor for one or the accept queue was full.
 */
const AGAIN_MS = 1000;
/** Error codes that mean that no process listens at the address. */
const NOBODY_LISTENS = new Set(["ECONNREFUSED", "ENOENT"]);

/** What a monitor calls. `since` is when the first failure was. */
export interface MonitorEvents {
  changed(state: LinkState, reason: string | undefined): void;
  /** A dial was refused: the process at the other end of open connections is ending, if it still runs. */
  refused(): void;
  /** Two failures in a row. Streams and tunnels without a byte since the first one are dead. */
  lost(since: number): void;
  /** A first failure: open tunnels should ping the upstream now. */
  suspected(): void;
  /** The first dial failed, and the upstream has never been reached: perhaps its address is wrong. Called once. */
  unreachable(code: string): void;
  /** Returns when the last byte came from the upstream, in anything open, by the monotonic clock; -Infinity if none. */
  lastByte(): number;
}

/** A monitor of one upstream. */
export class Monitor implements UpstreamWatcher {
  readonly name: string;
  readonly #where: Whereabouts;
  readonly #options: MonitorOptions;
  readonly #clock: Clock;
  readonly #events: MonitorEvents;
  #facts: LinkFacts = UNSEEN;
  #lastHeard = -Infinity;
  #lastAnswer = -Infinity;
  #lastProbe: { at: Moment; error: string | undefined; kind: ProbeKind } | undefined;
  /** When a dial or probe failed last. */
  #lastTried: Moment | undefined;
  /** The moments of `firstFailure` and `connectedSince` in the facts. */
  #awaySince: Moment | undefined;
  #connectedSince: Moment | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;
  /**
   * Since when the upstream may be frozen: a ping or a request was not answered. From then on only bytes count as a
   * sign of life, since the kernel accepts connections for a frozen process, too.
   */
  #doubtedSince: number | undefined;
  #saidUnreachable = false;
  /** Since when every probe has found the accept queue full. */
  #busySince: number | undefined;
  readonly #history: LinkChange[] = [];

  constructor(
    name: string,
    where: Whereabouts,
    parts: { options: MonitorOptions; clock: Clock; events: MonitorEvents },
  ) {
    this.name = name;
    this.#where = where;
    this.#options = parts.options;
    this.#clock = parts.clock;
    this.#events = parts.events;
  }

  /** When the first failure in a row was, and the last dial; undefined while the upstream is up. */
  get away(): { since: Date; triedAt: Date } | undefined {
    const since = this.#awaySince;
    return since && { since: new Date(since.date), triedAt: new Date((this.#lastTried ?? since).date) };
  }

  /**
   * How long the upstream has been down (lost, or never reached), in milliseconds; undefined while it is up or suspect.
   */
  get downMs(): number | undefined {
    const { state, firstFailure } = this.#facts;
    if (state === "up" || state === "suspect" || firstFailure === undefined) return undefined;
    return performance.now() - firstFailure;
  }

  /** Is the upstream down, while a connection to it may still succeed (frozen)? Then probes wait for a byte. */
  get isMute(): boolean {
    const { intervalMs, httpPath } = this.#options;
    return (this.#doubtedSince !== undefined || httpPath !== undefined) && intervalMs > 0 && this.downMs !== undefined;
  }

  get status(): LinkStatus {
    const { state, reconnectCount, reconnectTries } = this.#facts;
    const last = this.#lastProbe;
    const heardAt = this.#heardAt;
    return {
      name: this.name,
      target: this.#where.label,
      state,
      reconnectCount,
      reconnectTries,
      connectedSince: this.#connectedSince?.date,
      lastProbeAt: last?.at.date,
      lastProbeOk: last && last.error === undefined,
      lastError: last?.error,
      lastProbeKind: last?.kind,
      lastHeardAgeMs: heardAt === -Infinity ? undefined : Math.max(0, Math.round(performance.now() - heardAt)),
      history: this.#history,
    };
  }

  /** Starts to probe, at once: so the state is known before the first request. */
  start(): void {
    if (this.#options.intervalMs > 0) this.#probe();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#cancel?.();
  }

  /**
   * A dial succeeded. That proves nothing with --http-probe, or in doubt: the kernel accepts for a frozen process, too.
   */
  connected(): void {
    if (this.#options.httpPath === undefined && this.#doubtedSince === undefined) this.#reached(performance.now());
  }

  /** The upstream answered. Called for each response, so it has to be cheap. */
  answered(now: number): void {
    this.#lastHeard = now;
    this.#doubtedSince = undefined;
    this.#reached(now);
  }

  /** The upstream was reached: by a byte, or by a connection where that is enough. */
  #reached(now: number): void {
    this.#lastAnswer = now;
    if (this.#facts.state !== "up") this.#move(seen(this.#facts, now), undefined);
  }

  heard(now: number): void {
    this.#lastHeard = Math.max(this.#lastHeard, now);
    if (this.#doubtedSince !== undefined && now > this.#doubtedSince) this.answered(now);
  }

  /** When the last byte came from the upstream. Looked up when needed, so that the path of bytes has no cost for it. */
  get #heardAt(): number {
    return Math.max(this.#lastHeard, this.#events.lastByte());
  }

  #doubt(): void {
    this.#doubtedSince ??= performance.now();
  }

  /** A ping in a tunnel was not answered. Counts as a failure unless other bytes came from the upstream meanwhile. */
  unanswered(waitedMs: number): void {
    if (this.#heardAt > performance.now() - waitedMs) return;
    this.#doubt();
    this.failed("no_pong");
  }

  /**
   * A request got no response for `waitedMs`. Unless other bytes came from the upstream meanwhile, it may be frozen, or
   * only this response is slow: a probe that waits for a byte tells which.
   */
  silent(waitedMs: number): void {
    if (this.#stopped || this.#heardAt > performance.now() - waitedMs) return;
    this.#doubt();
    if (this.#options.intervalMs > 0) this.#probe();
  }

  /** A request has waited for a while, and goes on waiting: the same, before its time is over. */
  waits(waitedMs: number): void {
    if (this.#facts.state === "up" && this.#options.intervalMs > 0 && !this.#cancel) this.silent(waitedMs);
  }

  failed(code: string): void {
    this.#fail(code, false);
  }

  /** The accept queue was full: a probe finds out whether the upstream accepts again, or is frozen. */
  busy(): void {
    if (this.#stopped || this.#options.intervalMs === 0) return;
    this.#doubt();
    if (this.#busySince === undefined) this.#probe();
  }

  #fail(code: string, probe: boolean): void {
    this.#lastTried = thisMoment();
    // No process listens there: the upstream is not frozen but gone, and the next process there starts without doubt.
    if (NOBODY_LISTENS.has(code)) {
      this.#doubtedSince = undefined;
      this.#events.refused();
    }
    this.#move(failed(this.#facts, performance.now(), probe), code);
    if (this.#facts.state !== "connecting" || this.#saidUnreachable) return;
    this.#saidUnreachable = true;
    this.#events.unreachable(code);
  }

  #move(facts: LinkFacts, reason: string | undefined): void {
    const before = this.#facts.state;
    const moment = thisMoment();
    this.#awaySince = momentOf(this.#facts.firstFailure, facts.firstFailure, this.#awaySince, moment);
    this.#connectedSince = momentOf(this.#facts.connectedSince, facts.connectedSince, this.#connectedSince, moment);
    this.#facts = facts;
    if (facts.state === before || this.#stopped) return;
    this.#history.push({ at: moment.date, state: facts.state, reason });
    if (this.#history.length > MAX_HISTORY) this.#history.shift();
    this.#events.changed(facts.state, reason);
    if (facts.state === "suspect") this.#events.suspected();
    if (facts.state === "reconnecting") this.#events.lost(facts.firstFailure ?? 0);
    // The next probe was planned for the old state: plan it again.
    this.#schedule();
  }

  #schedule(afterMs?: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped || this.#options.intervalMs === 0) return;
    let wait = nextProbeMs(this.#facts, this.#options.intervalMs, Math.random());
    // Counted from the last answer, not from when the timer fired.
    if (this.#facts.state === "up") wait = Math.max(1, wait - (performance.now() - this.#lastAnswer));
    this.#timer = setTimeout(() => this.#probe(), afterMs ?? wait);
    this.#timer.unref();
  }

  #probe(): void {
    const now = performance.now();
    // No probe while there was traffic within the interval.
    if (
      this.#doubtedSince === undefined &&
      this.#facts.state === "up" &&
      now - this.#lastAnswer < this.#options.intervalMs
    )
      return this.#schedule();
    if (this.#cancel) return;
    const asked = this.#doubtedSince === undefined ? "connect" : "byte";
    this.#probeAt(this.#where.address, this.#options.httpPath === undefined ? asked : "http");
  }

  /**
   * Probes one address, and then perhaps the other one (whereabouts.ts).
   *
   * @param refused the error at the first address, if this is the second.
   */
  #probeAt(address: Address, kind: ProbeKind, refused?: string): void {
    const { httpPath = "/", timeoutMs } = this.#options;
    const limit = { clock: this.#clock, timeoutMs };
    const began = performance.now();
    const over = (error: string | undefined): void => {
      this.#cancel = undefined;
      if (this.#stopped) return;
      const next = error === undefined ? undefined : this.#where.alternative(address, error);
      if (next) return this.#probeAt(next, kind, error);
      if (error === undefined) this.#where.reached(address);
      this.#onProbed(error === undefined ? undefined : (refused ?? error), kind, began);
    };
    if (kind === "http") this.#cancel = probeHttp(address, httpPath, limit, over);
    else this.#cancel = (kind === "byte" ? probeBytes : probeConnect)(address, limit, over);
  }

  #onProbed(error: string | undefined, kind: ProbeKind, began: number): void {
    const at = thisMoment();
    const before = this.#facts.state;
    const fault = error === undefined ? undefined : faultOf(error, "path" in this.#where.address);
    // A probe that this machine could not make says nothing. After a full accept queue the probe is repeated, for as
    // long as a probe over TCP would wait.
    if (fault === "busy") this.#busySince ??= at.ms;
    else this.#busySince = undefined;
    const waits = this.#busySince !== undefined && at.ms - this.#busySince < this.#options.timeoutMs;
    if (fault === "ours" || waits) return this.#schedule(AGAIN_MS);
    // The byte probe failed, but other bytes came from the upstream meanwhile.
    if (error !== undefined && kind === "byte" && !NOBODY_LISTENS.has(error) && this.#heardAt > began) {
      this.answered(this.#heardAt);
    } else {
      this.#lastProbe = { at, error, kind };
      if (error !== undefined) this.#fail(error, true);
      else if (kind === "connect") this.connected();
      else this.answered(at.ms);
    }
    if (this.#facts.state === before) this.#schedule();
  }
}

/** Keeps the date of a time in the facts: a new date when the time has changed from `before` to `next`. */
function momentOf(
  before: number | undefined,
  next: number | undefined,
  known: Moment | undefined,
  moment: Moment,
): Moment | undefined {
  if (next === before) return known;
  return next === undefined ? undefined : moment;
}
