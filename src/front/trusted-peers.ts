// Which peers may say for whom they speak (`--trust-proxy`). Made by listener.ts, asked for each accepted connection.

import type { BlockList } from "node:net";

/** Peers in a list of networks. Nearly all connections come from the same front, so the last verdict is kept. */
export class TrustedPeers {
  readonly #networks: BlockList;
  #address = "";
  #verdict = false;

  constructor(networks: BlockList) {
    this.#networks = networks;
  }

  /** Is the peer with this address trusted? On a unix socket there is no address, and the peer is on this machine. */
  has(address: string): boolean {
    if (address === "") return true;
    if (address !== this.#address) {
      this.#verdict = this.#networks.check(address, address.includes(":") ? "ipv6" : "ipv4");
      this.#address = address;
    }
    return this.#verdict;
  }
}
