// Did the upstream get a request that was sent on a connection that had been idle? Asked by trial.ts; pure.

import type { Proof } from "../core/outcome.ts";
import { ONE_READ_BYTES } from "../upstream/once.ts";

/** What is known of one request and its connection. */
export interface Evidence {
  /** Its length, in bytes. */
  bytes: number;
  /** Did the system take all of it in one write, the only one? */
  whole: boolean;
  /** Did that write fail? Then the system took no byte. */
  unwritten: boolean;
  /** Did a RST come behind the FIN of the upstream, and not in place of it? */
  resetBehindFin: boolean;
  /** Did any byte of a response come? */
  responded: boolean;
}

/**
 * How it is known that no server has got the request; undefined where that is not known (RFC 9110 9.2.2).
 *
 * A closed socket answers bytes with a RST. So does one that is closed while bytes wait in it. Then no FIN came before,
 * unless the server half-closed first, and it can have acted on what it had read: of a request that is read at once, on
 * nothing. Only a keepalive probe, a FIN or a second write of ours could bring a RST behind the FIN of a server that has
 * read everything, and until the proof is asked for there is none of them.
 */
export function proofOf({ bytes, whole, unwritten, resetBehindFin, responded }: Evidence): Proof | undefined {
  if (responded) return undefined;
  if (unwritten) return "unsent";
  return whole && resetBehindFin && bytes <= ONE_READ_BYTES ? "unread" : undefined;
}
