// Lets plays run side by side in one process, except those that have to run alone.

/** A lock: many plays at a time, or one alone. */
export class Alone {
  #playing = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #isQuiet: (() => void) | undefined;

  /** Plays beside others; waits while one plays alone. */
  async together<T>(play: () => Promise<T>): Promise<T> {
    for (let before: unknown; before !== this.#queue;) {
      before = this.#queue;
      await this.#queue;
    }
    this.#playing += 1;
    try {
      return await play();
    } finally {
      this.#playing -= 1;
      if (this.#playing === 0) this.#isQuiet?.();
    }
  }

  /** Plays when nobody else does. */
  alone<T>(play: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(async () => {
      if (this.#playing > 0) await new Promise<void>((resolve) => (this.#isQuiet = resolve));
      this.#isQuiet = undefined;
      return await play();
    });
    this.#queue = result.catch(() => {});
    return result;
  }
}
