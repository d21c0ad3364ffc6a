// Waits for an event or a condition, never for time; fails with a sentence that says what did not come.

import { onTestFinished } from "vitest";

/**
 * The default limit, in milliseconds. Generous, because a loaded machine is slow; only a failing test waits that long.
 */
const PATIENCE_MS = 15_000;

// The real ones, also where a test has put others in their place.
const { setTimeout, clearTimeout } = globalThis;
const now = performance.now.bind(performance);

/** Rejects with `what` if `promise` has not settled after `ms`. */
export async function within<T>(promise: Promise<T>, what: string, ms = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves with the first truthy value of `condition`, looked at every 5 ms: for state outside of this process. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  ms = PATIENCE_MS,
): Promise<Exclude<NonNullable<T>, false>> {
  const deadline = now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<NonNullable<T>, false>;
    if (now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Does something every `ms`, for peers that are slow on purpose; returns the function that stops it. */
export function every(ms: number, act: () => void): () => void {
  const timer = setInterval(act, ms);
  onTestFinished(() => clearInterval(timer));
  return () => clearInterval(timer);
}
