// Ends connections that no request is in flight on, when the proxy stops. Called by listener.ts.

import type { Connection } from "./connection.ts";
import { finish, linger } from "../core/sockets.ts";

/** Connections that are ended in one turn of the event loop. */
const PER_TURN = 8;

/**
 * Sends FIN on every connection that has been idle for `idleMs` milliseconds; resolves when all of them have it. A
 * request that the kernel holds already counts: each few connections are ended behind a turn in which everything that
 * had come was read, so that only a request that is on the wire in this very moment crosses a FIN.
 */
export async function endIdle(connections: Iterable<Connection>, idleMs: number): Promise<void> {
  const before = performance.now() - idleMs;
  const candidates = [...connections].filter((one) => one.isIdle && one.idleSince <= before);
  for (let at = 0; at < candidates.length; at += PER_TURN) {
    await new Promise((resolve) => setImmediate(resolve));
    for (const connection of candidates.slice(at, at + PER_TURN)) {
      // It was read in this turn, and may have brought a request.
      if (!connection.isIdle) continue;
      if (connection.owesBody) linger(connection.socket);
      else finish(connection.socket);
    }
  }
}
