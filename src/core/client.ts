// A client connection as exchanges and tunnels see it, and what they are told about it.
// Implemented by front/connection.ts; declared here because exchange and tunnel may not import front.

import type { Socket } from "node:net";
import type { Failure, How } from "./errors.ts";
import type { Fate } from "./sockets.ts";

/** One accepted connection. */
export interface Client {
  readonly socket: Socket;
  readonly fate: Fate;
  /** The peer's address, without the ::ffff: of a mapped IPv4; empty on a unix socket. */
  readonly address: string;
  /** Is the peer one whose X-Forwarded-* fields are believed (`--trust-proxy`)? */
  readonly trusted: boolean;
  /** Pauses the socket. Bytes that the last read has already returned still come. */
  stopReading(): void;
  /** Resumes the socket after `stopReading`. */
  readOn(): void;
  /** Makes `occupant` the current exchange of the connection: the connection's events go to it from now on. */
  occupy(occupant: Occupant): void;
  /** Ends that. Does nothing when another exchange has become the current one since. */
  release(occupant: Occupant): void;
}

/**
 * The current exchange (or tunnel) of a client connection. There is one at a time, so pipelined requests stay in order.
 */
export interface Occupant {
  /** The client socket has room for more bytes ('drain'). */
  onClientDrain(): void;
  /** The client half-closed, closed or reset the connection. Called at most once for FIN and once for the close. */
  onClientGone(how: How): void;
  /**
   * The client sent bytes that are not valid HTTP, or sent them too slowly; `failure` is what it is told. Returns
   * whether they belong to the request of this exchange (and not to a pipelined one behind it).
   */
  onClientBroke(failure: Failure): boolean;
}
