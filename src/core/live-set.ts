// What is open right now. Whoever opens an exchange adds it here and gets back the function that forgets it.
// daemon.ts drains it on shutdown.

import { Bag } from "./bag.ts";

/** Something open that can be asked to end. */
export interface Live {
  /** Ends as politely as it can, soon. */
  drain(): void;
  /** Ends now. */
  abandon(): void;
}

/** A set that knows when it is empty. */
export class LiveSet<T extends Live = Live> {
  readonly #members = new Bag<T>();
  #whenEmpty: (() => void) | undefined;

  get size(): number {
    return this.#members.size;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#members.members().values();
  }

  /** Adds a member; returns the function that forgets it. */
  add(member: T): () => void {
    const remove = this.#members.add(member);
    return () => {
      remove();
      if (this.#members.size === 0) this.#whenEmpty?.();
    };
  }

  /** Asks every member to end, and resolves when all are gone; what is left after `deadlineMs` is abandoned. */
  async drain(deadlineMs: number): Promise<void> {
    this.#members.forEach((member) => member.drain());
    if (this.#members.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        this.#whenEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#members.forEach((member) => member.abandon());
  }
}
