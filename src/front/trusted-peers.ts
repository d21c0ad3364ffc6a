// Which peers are trusted to set X-Forwarded-* fields (`--trust-proxy`). Asked by listener.ts for each connection.

import type { BlockList } from "node:net";

/** A list of networks. The last result is cached, because nearly all connections come from the same front. */
export class TrustedPeers {
  readonly #networks: BlockList;
  #address = "";
  #verdict = false;

  constructor(networks: BlockList) {
    this.#networks = networks;
  }

  /** Is the peer with this address trusted? An empty address is a unix socket's, whose peer is on this machine. */
  has(address: string): boolean {
    if (address === "") return true;
    if (address !== this.#address) {
      this.#verdict = this.#networks.check(address, address.includes(":") ? "ipv6" : "ipv4");
      this.#address = address;
    }
    return this.#verdict;
  }
}
