// How a client's connection is ended behind an exchange that was not completed. Called by exchange.ts.

import type { Socket } from "node:net";
import type { Side } from "../core/errors.ts";
import { cut, finish, reset } from "../core/sockets.ts";
import type { Answer } from "./answer.ts";

/**
 * Ends the connection so that what was sent on it looks cut.
 *
 * @param by the side that ended the exchange: a client that left gets no more bytes.
 */
export function endCut(client: Socket, by: Side, answer: Answer | undefined): void {
  // A FIN is how a close-delimited body ends well, so a cut one has to end otherwise (RFC 9112 6.3).
  if (answer?.closeDelimited) reset(client);
  else if (by === "client") cut(client);
  else finish(client);
}
