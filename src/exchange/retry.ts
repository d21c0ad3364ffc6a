// Given how an attempt failed, may there be another? Called by exchange.ts; pure.

import type { FailureCode, How } from "../core/errors.ts";

/** A reset before any answer is retried this often, on a fresh connection each time. */
export const MAX_RETRIES = 2;

/** What is known of an exchange whose connection broke. */
export interface Broken {
  /** May the request be sent twice, or is it proved that nobody got it? And can the body sent so far be sent again? */
  repeatable: boolean;
  /** Was it a used connection, and what came on it the rest of an earlier response? */
  stale: boolean;
  /** Did any byte of a response arrive, an interim one included? */
  responded: boolean;
  /** Retries made so far. */
  retries: number;
  how: How;
}

const SAFE_TO_REPEAT = /^(GET|HEAD|OPTIONS|TRACE|PUT|DELETE)$/;

/**
 * May the method be sent twice? RFC 9110 9.2.2: the idempotent ones. A POST only with the client's word for it, or with
 * proof: that a reused connection broke is none (proof.ts).
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

/** How an exchange ended that got no connection, by what the client is told. */
export function howRefused(code: FailureCode): How {
  if (code === "upstream_unavailable") return "timeout";
  return code === "draining" ? "drain" : "limit";
}
