// Waits for an event or a condition, never for time; fails with a sentence that says what did not come.

import { onTestFinished } from "vitest";

/**
 * The default limit, in milliseconds. Generous, because a loaded machine is slow; only a failing test waits that long.
 */
const PATIENCE_MS = 15_000;

// The real ones, also where a test has put others in their place.
const { setTimeout, clearTimeout } = globalThis;
const now = performance.now.bind(performance);

/** What is waited for. A function says it once the wait is over, so it can tell what was seen until then. */
export type What = string | (() => string);

const late = (ms: number, what: What): Error =>
  new Error(`not within ${ms} ms: ${typeof what === "string" ? what : what()}`);

/** Rejects with `what` if `promise` has not settled after `ms`. */
export async function within<T>(promise: Promise<T>, what: What, ms = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const isLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late(ms, what)), ms);
  });
  try {
    return await Promise.race([promise, isLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves with the first truthy value of `condition`, looked at every 5 ms: for state outside of this process. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: What,
  ms = PATIENCE_MS,
): Promise<Exclude<NonNullable<T>, false>> {
  const deadline = now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<NonNullable<T>, false>;
    if (now() > deadline) throw late(ms, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Does something every `ms`, for peers that are slow on purpose; returns the function that stops it. */
export function every(ms: number, act: () => void): () => void {
  const timer = setInterval(act, ms);
  onTestFinished(() => clearInterval(timer));
  return () => clearInterval(timer);
}
