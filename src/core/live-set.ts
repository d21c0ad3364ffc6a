// The open exchanges, tunnels and admin connections. Opening one adds it here. proxy.ts drains the set on shutdown.

import { Bag, type Membership } from "./bag.ts";

/** Something open that can be asked to end. */
export interface Live {
  /** Ends soon, and properly: an answer is completed, a tunnel gets a Close frame. */
  drain(): void;
  /** Ends now. */
  abandon(): void;
}

/** A set whose members can be asked to end. */
export class LiveSet<T extends Live = Live> {
  readonly #members = new Bag<T>();
  #draining = false;

  get size(): number {
    return this.#members.size;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#members.members().values();
  }

  add(member: T): Membership {
    const membership = this.#members.add(member);
    // A tunnel whose handshake completes during the drain. Deferred, so that the tunnel's constructor finishes first.
    if (this.#draining) queueMicrotask(() => this.#members.members().includes(member) && member.drain());
    return membership;
  }

  /** Asks every member to end, and from now on every new one. */
  drain(): void {
    this.#draining = true;
    this.#members.forEach((member) => member.drain());
  }

  /** Ends what is left. */
  abandon(): void {
    this.#members.forEach((member) => member.abandon());
  }
}
