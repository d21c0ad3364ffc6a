// Decides after a failed attempt whether another one is made. Called by exchange.ts; pure.

import type { FailureCode, How } from "../core/errors.ts";

/** How often a request is sent again after its connection broke, each time on a fresh connection. */
export const MAX_RETRIES = 2;

/** What is known of a failed attempt. */
export interface Broken {
  /** May the request be sent again (it is idempotent, or proved unread), and is the body that was sent so far kept? */
  repeatable: boolean;
  /** Did only bytes of an earlier response come, on a reused connection? */
  stale: boolean;
  /** Did any byte of a response arrive, an interim one included? */
  responded: boolean;
  /** Retries made so far. */
  retries: number;
  how: How;
}

const SAFE_TO_REPEAT = /^(GET|HEAD|OPTIONS|TRACE|PUT|DELETE)$/;

/**
 * May a request be sent twice? Idempotent methods may (RFC 9110 9.2.2). A POST or PATCH only with an Idempotency-Key,
 * or with a proof that it was not read (proof.ts): that a reused connection broke is no proof.
 */
export function isRepeatable(method: string, idempotencyKey: boolean): boolean {
  return idempotencyKey || SAFE_TO_REPEAT.test(method);
}

/** "again", or the failure to tell the client. */
export function afterBroken(broken: Broken): "again" | FailureCode {
  const { how, stale, responded, retries, repeatable } = broken;
  if (how === "limit") return "upstream_header_too_large";
  const unanswered = stale || (how !== "protocol" && !responded);
  if (unanswered && repeatable && retries < MAX_RETRIES) return "again";
  return how === "rst" || (unanswered && !stale) ? "upstream_reset" : "upstream_bad_response";
}

/** How an exchange ended that got no connection to its upstream: follows from the error code for the client. */
export function howRefused(code: FailureCode): How {
  if (code === "upstream_unavailable") return "timeout";
  return code === "draining" ? "drain" : "limit";
}
