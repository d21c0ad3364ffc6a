import { expect, test } from "vitest";
import { DOUBT_MS, promisedFrom, Trust } from "../../src/upstream/trust.ts";

test("half of what was promised is relied on, and an end within the first four fifths is early", () => {
  expect(promisedFrom(1000, 5000)).toEqual({ reliedUntil: 3500, keptUntil: 5000 });
  for (const hint of [undefined, 0]) expect(promisedFrom(1000, hint)).toEqual({ reliedUntil: 1000, keptUntil: 1000 });
});

test("an upstream is trusted until it is caught, and again after a while", () => {
  const trust = new Trust();
  expect(trust.holds(0)).toBe(true);
  trust.caught(1000);
  expect([1000, 1000 + DOUBT_MS - 1, 1000 + DOUBT_MS].map((now) => trust.holds(now))).toEqual([false, false, true]);
});
