// Ready or not, and why (SPEC 8.3): pure. The admin handler asks it.

import type { Report } from "./report.ts";

/** The answer of /ready. */
export interface Readiness {
  ready: boolean;
  /** In a person's words; empty when ready. */
  reasons: string[];
}

const WORDS = {
  connecting: "has not been seen yet",
  suspect: "failed once just now",
  reconnecting: "cannot be reached",
} as const;

/** Ready: it is not draining, and every upstream is up. */
export function readiness(report: Pick<Report, "state" | "links">): Readiness {
  const reasons: string[] = [];
  if (report.state !== "running") reasons.push(`this proxy is ${report.state}`);
  for (const { name, target, state, lastError } of report.links) {
    if (state === "up") continue;
    reasons.push(`upstream ${name} (${target}) ${WORDS[state]}${lastError === undefined ? "" : `: ${lastError}`}`);
  }
  return { ready: reasons.length === 0, reasons };
}
