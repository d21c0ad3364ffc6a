// The address at which an upstream is dialled. A bare port means loopback, which has two addresses: 127.0.0.1 and ::1.
// Shared by upstream.ts and monitor.ts of one upstream; never dials.

import { hostPort, type Address, type Target } from "../core/target.ts";

/** Error codes when no process listens at an address, or the address family is not available. */
const NOT_HERE = new Set(["ECONNREFUSED", "EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/**
 * The address of one upstream. Until the upstream has been reached, a refusal at one address is followed by a dial of
 * the other. From then on the address stays: while the upstream restarts, a listener on the other address is another
 * program.
 */
export class Whereabouts {
  readonly #target: Target;
  readonly #elsewhere: (label: string) => void;
  #found: Address | undefined;

  /**
   * @param elsewhere called when the upstream was found at the second address, with that address as text. The owner
   *   then dials the first address once more, and calls isThereAfterAll() if that connects.
   */
  constructor(target: Target, elsewhere: (label: string) => void) {
    this.#target = target;
    this.#elsewhere = elsewhere;
  }

  get address(): Address {
    return this.#found ?? this.#target.address;
  }

  /** The address as text: `127.0.0.1:4000`. */
  get label(): string {
    const { other, label } = this.#target;
    return other && this.#found === other ? hostPort(other.host, other.port) : label;
  }

  /** The address to dial next, when `address` has failed with this code; undefined when there is none. */
  alternative(address: Address, code: string): Address | undefined {
    if (!NOT_HERE.has(code)) return undefined;
    // While this dial was refused, another one may have found the upstream.
    const there = this.#found ?? this.#target.other;
    return address === there ? undefined : there;
  }

  /** The upstream was reached at this address. */
  reached(address: Address): void {
    if (this.#found) return;
    this.#found = address;
    if (address === this.#target.other) this.#elsewhere(this.label);
  }

  /**
   * Stays at the first address instead: the upstream listens there, too. It began to listen on both addresses after the
   * first one was dialled and before the second one was. If it stayed at the second, the upstream would see its peer at
   * 127.0.0.1 after one start and at ::1 after another.
   */
  isThereAfterAll(): void {
    this.#found = this.#target.address;
  }
}
