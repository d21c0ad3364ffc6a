// What is open right now. Whoever opens an exchange adds it here and gets back the function that forgets it.
// proxy.ts drains it on shutdown.

import { Bag } from "./bag.ts";

/** Something open that can be asked to end. */
export interface Live {
  /** Ends as politely as it can, soon. */
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

  /** Adds a member; returns the function that forgets it. */
  add(member: T): () => void {
    const remove = this.#members.add(member);
    // A tunnel whose handshake outlived the beginning of the end. Its maker finishes making it first.
    if (this.#draining) queueMicrotask(() => this.#members.members().includes(member) && member.drain());
    return remove;
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
