// Values of an arbitrary at random, from a seed: one after another, for as long as somebody asks.

import fc from "fast-check";

/** A source of values. */
export function samples<T>(of: fc.Arbitrary<T>, seed: number): () => fc.Value<T> {
  const random = new fc.Random(new Mixed(seed));
  return () => of.generate(random, undefined);
}

/** A generator of random numbers (splitmix32) in the shape that fast-check draws from. */
class Mixed {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  clone(): Mixed {
    return new Mixed(this.#state);
  }

  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) | 0;
  }

  getState(): readonly number[] {
    return [this.#state];
  }
}
