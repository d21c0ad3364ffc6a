// The two sockets of a tunnel, and who is told what happens to it. Made by exchange/opened.ts for tunnel.ts.

import type { Socket } from "node:net";
import type { How, Side as SideName } from "../core/errors.ts";

/** The two sockets of a tunnel, and what it calls. */
export interface TunnelEnds {
  client: Socket;
  /** Its 'data' chunks are borrowed: valid until the listener returns. */
  upstream: Socket;
  /** Was an extension negotiated (RFC 6455 9)? */
  extensions: boolean;
  id: string;
  route: string;
  path: string;
  /** The client's address, for the report. */
  from: string;
  /**
   * Called once, when the tunnel has ended.
   *
   * @param left did the client reset the connection while nothing waited for it, and no frame had begun?
   */
  ended(by: SideName, how: How, bytesIn: number, bytesOut: number, left: boolean): void;
  /** A ping was answered. */
  ponged(side: "client" | "upstream", rttMs: number): void;
}
