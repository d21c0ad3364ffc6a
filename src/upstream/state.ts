// The state of the link to one upstream: pure, fed with what was learnt, returns the next state.
// monitor.ts feeds it and acts; times are milliseconds of the monotonic clock.

/** `connecting`: not seen yet. `suspect`: one failure. `reconnecting`: two or more in a row. */
export type LinkState = "connecting" | "up" | "suspect" | "reconnecting";

/** What is known of an upstream. */
export interface LinkFacts {
  state: LinkState;
  /** When the first of the failures in a row was. */
  firstFailure: number | undefined;
  lastFailure: number | undefined;
  /** Outages it has come back from, since the start of the process. */
  reconnectCount: number;
  /** Tries made in them, those that succeeded included. */
  reconnectTries: number;
  /** Since when it is up; undefined while it is not. */
  connectedSince: number | undefined;
  /** Probes that failed since it was last seen; decides when to ask again. */
  failedProbes: number;
}

/** Before anything is known. */
export const UNSEEN: LinkFacts = {
  state: "connecting",
  firstFailure: undefined,
  lastFailure: undefined,
  reconnectCount: 0,
  reconnectTries: 0,
  connectedSince: undefined,
  failedProbes: 0,
};

/**
 * Failures closer together are one: while requests are held, a try is made every 250 ms, and an upstream that only
 * restarts its listener deserves the time in which its tunnels can answer a ping.
 */
const APART_MS = 1000;

/** It was seen: connected, answered a probe, sent a byte. */
export function seen(facts: LinkFacts, now: number): LinkFacts {
  if (facts.state === "up") return facts;
  const survived = facts.state === "reconnecting" ? 1 : 0;
  return {
    state: "up",
    firstFailure: undefined,
    lastFailure: undefined,
    reconnectCount: facts.reconnectCount + survived,
    reconnectTries: facts.reconnectTries + survived,
    connectedSince: facts.connectedSince !== undefined && facts.state === "suspect" ? facts.connectedSince : now,
    failedProbes: 0,
  };
}

/**
 * It could not be reached, or failed a probe. An upstream that was never seen stays `connecting`: it is starting, like
 * this proxy, and nothing that was there is lost.
 *
 * @param probe was it a probe? Those decide how long until the next.
 */
export function failed(facts: LinkFacts, now: number, probe: boolean): LinkFacts {
  const next = { ...facts, failedProbes: facts.failedProbes + (probe ? 1 : 0) };
  if (facts.lastFailure !== undefined && now - facts.lastFailure < APART_MS && !probe) return next;
  next.firstFailure ??= now;
  next.lastFailure = now;
  if (facts.state === "up") next.state = "suspect";
  else if (facts.state === "suspect")
    Object.assign(next, { state: "reconnecting", connectedSince: undefined, failedProbes: 0 });
  else if (facts.state === "reconnecting") next.reconnectTries += 1;
  return next;
}

const BACK_OFF_FIRST_MS = 1000;
const BACK_OFF_MAX_MS = 30_000;
/** A tenth up or down, so that many proxies do not ask a returning upstream in step. */
const JITTER = 0.1;

/**
 * How long until the next probe: the interval while it is up, a second to confirm a suspicion, then 1, 2, 4 ... 30 s.
 *
 * @param random from 0 to 1, for the jitter.
 */
export function nextProbeMs(facts: LinkFacts, intervalMs: number, random: number): number {
  if (facts.state === "up") return intervalMs;
  if (facts.state === "suspect") return Math.min(intervalMs, BACK_OFF_FIRST_MS);
  const plain = Math.min(BACK_OFF_MAX_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(facts.failedProbes, 10));
  return plain * (1 - JITTER + 2 * JITTER * random);
}
