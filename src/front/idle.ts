// Closes idle client connections on shutdown. Called by listener.ts.

import type { Connection } from "./connection.ts";
import { finish, linger } from "../core/sockets.ts";

/** How many connections are closed in one turn of the event loop. */
const PER_TURN = 8;

/**
 * Sends FIN on every connection that has been idle for `idleMs` milliseconds; resolves when that is done. A request in
 * the kernel's receive buffer must not be lost, so a turn of the event loop, in which node reads such requests,
 * precedes each few connections. Only a request that is on the wire in that moment can cross the FIN.
 */
export async function endIdle(connections: readonly Connection[], idleMs: number): Promise<void> {
  const before = performance.now() - idleMs;
  const candidates = connections.filter((one) => one.isIdle && one.idleSince <= before);
  for (let at = 0; at < candidates.length; at += PER_TURN) {
    await new Promise((resolve) => setImmediate(resolve));
    for (const connection of candidates.slice(at, at + PER_TURN)) {
      // A request may have been read in this turn.
      if (!connection.isIdle) continue;
      if (connection.owesBody) linger(connection.socket);
      else finish(connection.socket);
    }
  }
}
