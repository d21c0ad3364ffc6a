// What an ending means: did the exchange end badly, and how loudly is it said? One answer for the log, the metrics and
// the tables. Asked by proxy.ts and metrics.ts; pure.

import type { Outcome } from "../core/outcome.ts";

/** Refusals of ours that need nobody: the stop was asked for. */
const PLANNED = new Set(["draining"]);

/**
 * The level of an exchange's line in the log. `debug`: it ended as it should. `info`: it ended badly. `warn`: the client
 * got an answer of 5xx from this proxy itself, so that a person should look at what stands behind it.
 */
export function levelOf({ kind, by, how, status, error, left }: Outcome): "debug" | "info" | "warn" {
  if (status >= 500 && error !== undefined) return PLANNED.has(error) ? "info" : "warn";
  // Passed on as it should be, and still something that failed.
  if (status >= 500) return "info";
  // A browser that closes a tab resets the connection where the page has not read all, and closes it where it has.
  const leaves = by === "client" && (how === "fin" || left === true);
  const well = how === "done" || leaves || (kind === "tunnel" && how === "drain");
  return well ? "debug" : "info";
}

/** Did it end badly? Such an exchange has a line at `info` or above, is counted as failed, and stands in the tables. */
export function endedBadly(outcome: Outcome): boolean {
  return levelOf(outcome) !== "debug";
}
