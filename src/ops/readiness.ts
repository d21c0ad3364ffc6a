// The answer of /ready: is the proxy ready, and why not? Called by admin.ts; pure.

import type { LinkReport, Report } from "./report.ts";

/** The answer of /ready. */
interface Readiness {
  ready: boolean;
  /** Sentences for people; empty when ready. */
  reasons: string[];
}

const WORDS = {
  connecting: "has not been reached yet",
  suspect: "has just failed once",
  reconnecting: "cannot be reached",
} as const;

/** System error codes in words. */
const CODES: Record<string, string> = {
  ECONNREFUSED: "nothing listens there",
  ENOENT: "the socket does not exist",
  ENOTFOUND: "the host name is unknown",
  EAI_AGAIN: "the host name cannot be resolved",
  ETIMEDOUT: "it does not answer",
  no_pong: "it accepts connections, but does not answer",
  EHOSTUNREACH: "there is no route to its host",
  ENETUNREACH: "there is no route to its network",
  ECONNRESET: "it resets connections at once",
  EACCES: "it does not let this user connect",
};

/** A code in words: `nothing listens there (ECONNREFUSED)`. */
function inWords(code: string): string {
  const words = CODES[code];
  return words === undefined ? code : `${words} (${code})`;
}

/** Why a link is not up; undefined when that is not known. */
export function reasonOf(link: Pick<LinkReport, "lastProbeAt" | "lastError" | "history">): string | undefined {
  const change = link.history.at(-1);
  // When a request has failed since the last probe, the state change has the newer reason.
  const probed = change === undefined || (link.lastProbeAt !== undefined && link.lastProbeAt >= change.at);
  const code = (probed ? link.lastError : undefined) ?? change?.reason;
  return code === undefined ? undefined : inWords(code);
}

/** Ready means that the proxy is not draining, and that every upstream is up. */
export function readiness(report: Pick<Report, "state" | "links">): Readiness {
  const reasons: string[] = [];
  if (report.state !== "running") reasons.push(`this proxy is ${report.state}`);
  for (const link of report.links) {
    if (link.state === "up") continue;
    const why = reasonOf(link);
    const suffix = why === undefined ? "" : `: ${why}`;
    reasons.push(`upstream ${link.name} (${link.target}) ${WORDS[link.state]}${suffix}`);
  }
  return { ready: reasons.length === 0, reasons };
}
