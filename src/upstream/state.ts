// The state machine of the link to one upstream. Called by monitor.ts, which acts on it; pure.
// Times are milliseconds of the monotonic clock.

/** `connecting`: not reached yet. `suspect`: one failure. `reconnecting` (lost): two or more failures in a row. */
export type LinkState = "connecting" | "up" | "suspect" | "reconnecting";

/** What is known of the link. */
export interface LinkFacts {
  state: LinkState;
  /** When the first failure in a row was. */
  firstFailure: number | undefined;
  lastFailure: number | undefined;
  /** Outages that the upstream has come back from, since the start of the process. */
  reconnectCount: number;
  /** Dials in outages, including those that succeeded. */
  reconnectTries: number;
  /** Since when the upstream is up; undefined while it is not. */
  connectedSince: number | undefined;
  /** Probes that failed since the upstream was last reached; decides when the next one is made. */
  failedProbes: number;
}

/** The facts at the start. */
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
 * Failures within this time count as one, in milliseconds. Several failures make an upstream lost, and then its silent
 * tunnels are cut. While requests are held, the proxy dials every 250 ms, and each of those dials may fail; and when an
 * upstream only restarts its listener, its tunnels need time to answer a ping first.
 */
const APART_MS = 1000;

/** The upstream was reached: it accepted a connection, answered a probe, or sent a byte. */
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
 * A dial or a probe failed. An upstream that was never reached stays `connecting`: it is probably starting, like this
 * proxy.
 *
 * @param probe was it a probe? Failed probes decide the time to the next one.
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
/** A tenth up or down, so that many proxies do not probe a returning upstream at the same moment. */
const JITTER = 0.1;

/**
 * Time to the next probe: the interval while the link is up, a second while it is suspect, then 1, 2, 4 ... 30 s.
 *
 * @param random from 0 to 1, for the jitter.
 */
export function nextProbeMs(facts: LinkFacts, intervalMs: number, random: number): number {
  if (facts.state === "up") return intervalMs;
  if (facts.state === "suspect") return Math.min(intervalMs, BACK_OFF_FIRST_MS);
  const plain = Math.min(BACK_OFF_MAX_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(facts.failedProbes, 10));
  return plain * (1 - JITTER + 2 * JITTER * random);
}
