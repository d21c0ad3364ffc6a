// Watches the link to one upstream: learns from its traffic, probes it when there is none, and says when its state
// changes. Built by links.ts beside each Upstream; state.ts decides, this acts.

import { faultOf } from "../core/errors.ts";
import type { Address } from "../core/target.ts";
import { thisMoment, type Moment } from "../core/moment.ts";
import type { Clock } from "../core/timer.ts";
import { probeBytes, probeConnect, probeHttp } from "./probe.ts";
import { failed, nextProbeMs, seen, UNSEEN, type LinkFacts, type LinkState } from "./state.ts";
import type { UpstreamWatcher } from "./upstream.ts";
import type { Whereabouts } from "./whereabouts.ts";

/** The numbers of a monitor. */
export interface MonitorOptions {
  /** Between probes while there is no traffic; 0 never probes. */
  intervalMs: number;
  timeoutMs: number;
  /** Ask for this path instead of only connecting; any status below 500 counts. */
  httpPath: string | undefined;
}

/** What a probe asks for: that a connection stands, a byte, or a good status. */
export type ProbeKind = "connect" | "byte" | "http";

/** What one link looks like from outside. Times are dates. */
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
  /** Since its last byte: an answer, a pong. */
  lastHeardAgeMs: number | undefined;
  /** The latest changes, oldest first. */
  history: LinkChange[];
}

/** One change of a link's state. */
export interface LinkChange {
  at: string;
  state: LinkState;
  reason: string | undefined;
}

const MAX_HISTORY = 50;
/** Until the next probe when there was no descriptor for one, or no room. */
const AGAIN_MS = 1000;
const NOBODY_LISTENS = new Set(["ECONNREFUSED", "ENOENT"]);

/** Who hears of changes. `since` is when the first failure was. */
export interface MonitorEvents {
  changed(state: LinkState, reason: string | undefined): void;
  /** A connection was refused: the process that connections stand to is ending, if not gone. */
  refused(): void;
  /** Two failures in a row: what has been silent since the first is dead. */
  lost(since: number): void;
  /** A first failure: whoever can should ask it for a sign of life. */
  suspected(): void;
  /** It was not reached when it was first tried, and has never been seen: perhaps it is elsewhere. Called once. */
  unreachable(code: string): void;
  /** When the last byte of what is open came, by the monotonic clock; -Infinity if none did. Asked, never told. */
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
  /** When a try failed last. */
  #lastTried: Moment | undefined;
  /** The moments of `firstFailure` and `connectedSince` in the facts. */
  #awaySince: Moment | undefined;
  #connectedSince: Moment | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;
  /** It let us wait in vain: the kernel of a frozen process takes connections, so nothing but bytes is believed. */
  #doubtedSince: number | undefined;
  #saidUnreachable = false;
  /** Since when every probe has found its backlog full. */
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

  /** When the first of its failures in a row was, and the last try; undefined while it is up. */
  get away(): { since: Date; triedAt: Date } | undefined {
    const since = this.#awaySince;
    return since && { since: new Date(since.date), triedAt: new Date((this.#lastTried ?? since).date) };
  }

  /** For how long it has been down for certain: lost, or never seen; undefined while it is up, or only suspect. */
  get downMs(): number | undefined {
    const { state, firstFailure } = this.#facts;
    if (state === "up" || state === "suspect" || firstFailure === undefined) return undefined;
    return performance.now() - firstFailure;
  }

  /** Is it down, and would a connection prove nothing? Its first byte is watched for then. */
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

  /** Begins to probe: at once, so that `connecting` does not last until the first request. */
  start(): void {
    if (this.#options.intervalMs > 0) this.#probe();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#cancel?.();
  }

  /** A connection stands. With an HTTP probe that proves nothing: the kernel accepts for a frozen process, too. */
  connected(): void {
    if (this.#options.httpPath === undefined && this.#doubtedSince === undefined) this.#reached(performance.now());
  }

  /** Called for each answer, so it has to be cheap. */
  answered(now: number): void {
    this.#lastHeard = now;
    this.#doubtedSince = undefined;
    this.#reached(now);
  }

  /** Connecting is enough for that unless in doubt, but then not a byte was heard. */
  #reached(now: number): void {
    this.#lastAnswer = now;
    if (this.#facts.state !== "up") this.#move(seen(this.#facts, now), undefined);
  }

  heard(now: number): void {
    this.#lastHeard = Math.max(this.#lastHeard, now);
    if (this.#doubtedSince !== undefined && now > this.#doubtedSince) this.answered(now);
  }

  /** Every byte is a sign of life. That of what is open is looked up when it matters, so that a byte costs nothing. */
  get #heardAt(): number {
    return Math.max(this.#lastHeard, this.#events.lastByte());
  }

  #doubt(): void {
    this.#doubtedSince ??= performance.now();
  }

  /** One of its tunnels got no pong, in the time in which nothing else was heard of it either. */
  unanswered(waitedMs: number): void {
    if (this.#heardAt > performance.now() - waitedMs) return;
    this.#doubt();
    this.failed("no_pong");
  }

  /**
   * A request waited in vain for as long as it may, and nothing else was heard of it meanwhile. It is frozen, or only
   * that one answer is slow: asked for a byte now, it shows which.
   */
  silent(waitedMs: number): void {
    if (this.#stopped || this.#heardAt > performance.now() - waitedMs) return;
    this.#doubt();
    if (this.#options.intervalMs > 0) this.#probe();
  }

  /** A request has waited for a while, and may wait on. If nothing was heard meanwhile, a byte is asked for early. */
  waits(waitedMs: number): void {
    if (this.#facts.state === "up" && this.#options.intervalMs > 0 && !this.#cancel) this.silent(waitedMs);
  }

  failed(code: string): void {
    this.#fail(code, false);
  }

  /** Whether it takes connections again, or is frozen, is for a probe to find out. */
  busy(): void {
    if (this.#stopped || this.#options.intervalMs === 0) return;
    this.#doubt();
    if (this.#busySince === undefined) this.#probe();
  }

  #fail(code: string, probe: boolean): void {
    this.#lastTried = thisMoment();
    // It is not frozen but gone. The next one that listens there has let nobody wait.
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
    // A probe that was planned for another state would come too late, or too early.
    this.#schedule();
  }

  #schedule(afterMs?: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped || this.#options.intervalMs === 0) return;
    let wait = nextProbeMs(this.#facts, this.#options.intervalMs, Math.random());
    // The silence counts from the last answer, not from when the timer found out that there was one.
    if (this.#facts.state === "up") wait = Math.max(1, wait - (performance.now() - this.#lastAnswer));
    this.#timer = setTimeout(() => this.#probe(), afterMs ?? wait);
    this.#timer.unref();
  }

  #probe(): void {
    const now = performance.now();
    // Real traffic says it better.
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

  /** @param refused why it could not be reached at the address that is meant, if this is the other one. */
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
    // A probe that could not be made has found out nothing. One that found a full backlog is made again, for as long
    // as one to a port would wait.
    if (fault === "busy") this.#busySince ??= at.ms;
    else this.#busySince = undefined;
    const waits = this.#busySince !== undefined && at.ms - this.#busySince < this.#options.timeoutMs;
    if (fault === "ours" || waits) return this.#schedule(AGAIN_MS);
    // Something else was heard while it was asked for a byte.
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

/** The moment that belongs to `next`, a time of the facts, which was `before` until this moment. */
function momentOf(
  before: number | undefined,
  next: number | undefined,
  known: Moment | undefined,
  moment: Moment,
): Moment | undefined {
  if (next === before) return known;
  return next === undefined ? undefined : moment;
}
