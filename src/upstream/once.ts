// Limits the length of a request that may be sent only once, on a connection from the pool. Used by connection.ts and
// exchange/; pure. The reasons are in exchange/proof.ts.

/**
 * The longest request, in bytes, that a server reads at once or not at all: it fits into one TCP segment on any
 * network, and servers read at least 4 KiB.
 */
export const ONE_READ_BYTES = 1200;

/**
 * The limit on loopback. A longer request than ONE_READ_BYTES has no proof; but on loopback a FIN arrives at once, and
 * node sees it before the request is sent (exchange/sending.ts).
 */
export const MAX_ONCE_BYTES: number = 16 * 1024;
const NEAR = /^(127\.|::1$|::ffff:127\.)/;

/**
 * The limit for a peer, in bytes.
 *
 * @param address the peer's, as node reports it; undefined for a unix socket, which has no RST and so no proof: 0.
 */
export function onceBytesTo(address: string | undefined): number {
  if (address === undefined) return 0;
  return NEAR.test(address) ? MAX_ONCE_BYTES : ONE_READ_BYTES;
}
