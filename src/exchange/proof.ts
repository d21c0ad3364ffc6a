// Decides whether it is certain that the upstream did not get a request on a reused connection. Called by trial.ts;
// pure.

import type { Proof } from "../core/outcome.ts";
import { ONE_READ_BYTES } from "../upstream/once.ts";

/** What is known of one request and its connection. */
export interface Evidence {
  /** The length of the request, in bytes. */
  bytes: number;
  /** Did the kernel take the whole request in a single write? */
  whole: boolean;
  /** Did that write fail? Then the kernel took no byte. */
  unwritten: boolean;
  /** Did the upstream send FIN, and then RST? */
  resetBehindFin: boolean;
  /** Did any byte of a response come? */
  responded: boolean;
}

/**
 * How it is known that no server has read the request; undefined where that is not known (RFC 9110 9.2.2). `unsent`:
 * the write failed. `unread`: the upstream's FIN was followed by a RST.
 *
 * Why the latter is a proof: a socket that was closed before the request arrived sends FIN when it is closed, and a RST
 * for the request's bytes. A socket that is closed with unread bytes in it sends RST instead of FIN. It sends FIN first
 * only if the server half-closed before; then the server can have acted on bytes it had read, but a request that is
 * read at once (ONE_READ_BYTES) is either wholly read or wholly unread. If the server had read everything, a RST behind
 * its FIN could only answer a keepalive probe, a FIN or a further write of this side, and trial.ts sends none of these.
 */
export function proofOf({ bytes, whole, unwritten, resetBehindFin, responded }: Evidence): Proof | undefined {
  if (responded) return undefined;
  if (unwritten) return "unsent";
  return whole && resetBehindFin && bytes <= ONE_READ_BYTES ? "unread" : undefined;
}
