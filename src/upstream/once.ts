// How long a request may be that is sent only once, and goes on a connection that had been idle. Used by connection.ts
// and exchange/proof.ts; pure.

/**
 * The longest request, in bytes, whose end a server cannot leave unread when it reads the beginning: it is one segment
 * on any network, and servers read 4 KiB at least.
 */
export const ONE_READ_BYTES = 1200;

/** And on loopback. What is longer than one read has no proof, but no FIN is on its way there either: it is seen. */
export const MAX_ONCE_BYTES: number = 16 * 1024;
const NEAR = /^(127\.|::1$|::ffff:127\.)/;

/** @param address of the peer, as node tells it; undefined for a unix socket, which has no RST and proves nothing. */
export function onceBytesTo(address: string | undefined): number {
  if (address === undefined) return 0;
  return NEAR.test(address) ? MAX_ONCE_BYTES : ONE_READ_BYTES;
}
