// Ends a client's connection after an incomplete exchange. Called by exchange.ts.

import type { Socket } from "node:net";
import type { Side } from "../core/errors.ts";
import { cut, finish, reset } from "../core/sockets.ts";
import type { Answer } from "./answer.ts";

/**
 * Ends the connection so that the client sees that the answer is incomplete.
 *
 * @param by the side that ended the exchange: a client that left gets no more bytes.
 */
export function endCut(client: Socket, by: Side, answer: Answer | undefined): void {
  // After a FIN a close-delimited body would look complete, so an incomplete one ends with a RST (RFC 9112 6.3).
  if (answer?.closeDelimited) reset(client);
  else if (by === "client") cut(client);
  else finish(client);
}
