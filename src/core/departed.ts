// Has a peer left that is not read from? A paused socket is out of node's poll set, so neither FIN nor RST is heard.
// Asked by front/client-limits.ts for clients whose requests or bodies nobody takes.

import type { Socket } from "node:net";
import type { How } from "./errors.ts";
import { isReset } from "./sockets.ts";
import { CLOSE_WAIT, eachConnection, ESTABLISHED, keyOf, Snapshot } from "./tcp-table.ts";

const closing = new Snapshot(readClosing);

/**
 * How the peer of a socket left; undefined while it is there, and where nobody can tell: a unix socket, and the FIN of a
 * peer on a system without /proc/net/tcp. A peer that vanished is found by TCP keepalive and looks like a RST.
 */
export function departed(socket: Socket): How | undefined {
  if (isReset(socket)) return "rst";
  const { localPort, remotePort } = socket;
  if (localPort === undefined || remotePort === undefined) return undefined;
  return closing.value.has(keyOf(localPort, remotePort)) ? "fin" : undefined;
}

/** The connections whose peer has sent FIN. Of two with the same ports one that stands speaks for both. */
function readClosing(): Set<number> {
  const found = new Set<number>();
  const standing = new Set<number>();
  eachConnection((key, state) => {
    if (state === CLOSE_WAIT) found.add(key);
    else if (state === ESTABLISHED) standing.add(key);
  });
  for (const key of standing) found.delete(key);
  return found;
}
