// Which address an upstream is dialled at: a bare port means loopback, and that has two. Shared by upstream.ts and
// monitor.ts of one upstream; it never dials.

import { hostPort, type Address, type Target } from "../core/target.ts";

/** What is said where nobody listens, or where there is no such family. */
const NOT_HERE = new Set(["ECONNREFUSED", "EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/**
 * The address of one upstream. Until it has been reached once, a refusal by one family is a reason to try the other at
 * once. From then on it stays: while it restarts, whoever listens on the other one is somebody else.
 */
export class Whereabouts {
  readonly #target: Target;
  #found: Address | undefined;

  readonly #elsewhere: (label: string) => void;

  /** @param elsewhere called when it was found where it was not meant to be first, with how that is told. */
  constructor(target: Target, elsewhere: (label: string) => void) {
    this.#target = target;
    this.#elsewhere = elsewhere;
  }

  get address(): Address {
    return this.#found ?? this.#target.address;
  }

  /** As it is told: `127.0.0.1:4000`. */
  get label(): string {
    const { other, label } = this.#target;
    return other && this.#found === other ? hostPort(other.host, other.port) : label;
  }

  /** Where to try next at once, when `address` could not be connected to; undefined when that was all. */
  alternative(address: Address, code: string): Address | undefined {
    const { other } = this.#target;
    return this.#found === undefined && address !== other && NOT_HERE.has(code) ? other : undefined;
  }

  /** Somebody listens there. */
  reached(address: Address): void {
    if (this.#found) return;
    this.#found = address;
    if (address === this.#target.other) this.#elsewhere(this.label);
  }
}
