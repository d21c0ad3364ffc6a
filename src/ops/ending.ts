// Did an exchange end badly, and which log level does it get? The same answer for the log, the metrics and the tables
// of the live page. Called by proxy/ and metrics.ts; pure.

import type { Outcome } from "../core/outcome.ts";

/** Errors that are planned, so that they are no warning: the operator asked for the stop. */
const PLANNED = new Set(["draining"]);

/**
 * The level of an exchange's line in the log. `debug`: the exchange ended as it should. `info`: it ended badly. `warn`:
 * this proxy itself answered 5xx, so that a person should look at the upstream.
 */
export function levelOf({ kind, by, how, status, error, left }: Outcome): "debug" | "info" | "warn" {
  if (status >= 500 && error !== undefined) return PLANNED.has(error) ? "info" : "warn";
  // The upstream answered 5xx: relayed properly, but the request failed.
  if (status >= 500) return "info";
  // A browser that closes a tab resets the connection where the page has not read all, and closes it where it has.
  const leaves = by === "client" && (how === "fin" || left === true);
  const well = how === "done" || leaves || (kind === "tunnel" && how === "drain");
  return well ? "debug" : "info";
}

/**
 * Did an exchange end badly? Then its line is at `info` or above, it is counted as failed, and listed in the tables.
 */
export function endedBadly(outcome: Outcome): boolean {
  return levelOf(outcome) !== "debug";
}
