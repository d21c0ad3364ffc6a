// The client's side as the relay sees it: one accepted connection and whoever occupies it at the moment.
// Implemented by front/connection.ts; here because relay and front may not import each other.

import type { Socket } from "node:net";
import type { FailureCode, How } from "./errors.ts";
import type { Fate } from "./sockets.ts";

/** One accepted connection. */
export interface Client {
  readonly socket: Socket;
  readonly fate: Fate;
  /** The peer's address, without the ::ffff: of a mapped IPv4; empty on a unix socket. */
  readonly address: string;
  /** Is the peer one whose X-Forwarded-* fields are believed (`--trust-proxy`)? */
  readonly trusted: boolean;
  /** Reads nothing more from the client than what one read has already brought. */
  stopReading(): void;
  /** Reads again, after `stopReading`. */
  readOn(): void;
  /** Takes the connection for one exchange: from now on its events go to `occupant`. */
  occupy(occupant: Occupant): void;
  /** Gives it back, unless another has taken it since. */
  release(occupant: Occupant): void;
}

/** Who is told what happens on a client's connection. One at a time, so pipelined exchanges stay in order. */
export interface Occupant {
  /** The client takes bytes again. */
  onClientDrain(): void;
  /** The client closed or reset; called once at most for each of FIN and close. */
  onClientGone(how: How): void;
  /** The client's bytes broke HTTP, or came too slowly. Returns whether it was the occupant's own request. */
  onClientBroke(code: FailureCode): boolean;
}
