import { expect, test } from "vitest";
import { Backlog, FIRST_LOOK, NEXT_LOOK } from "../../src/core/backlog.ts";

const LIMIT = 16_000;

/**
 * Looks as its owner does, at each moment that it names. `takes` tells what the peer has taken by then; when is it
 * late?
 */
function lateAt(
  backlog: Backlog,
  began: number,
  takes: (now: number) => number,
  until = 10 * LIMIT,
): number | undefined {
  for (let now = backlog.begin(began); now < until; now = backlog.nextLook(now)) {
    if (backlog.isLate(now, takes(now))) return now;
  }
  return undefined;
}

test("a peer that takes nothing is late after its time, and at most a look later", () => {
  expect(lateAt(new Backlog(LIMIT), 1000, () => 5)).toBe(1000 + LIMIT);
  // It took its last byte behind the first look, so that was seen by the second.
  const last = 1000 + LIMIT * FIRST_LOOK + 1;
  const late = lateAt(new Backlog(LIMIT), 1000, (now) => (now >= last ? 6 : 5)) ?? 0;
  expect(late).toBeGreaterThanOrEqual(last + LIMIT);
  expect(late).toBeLessThanOrEqual(last + LIMIT * (1 + NEXT_LOOK));
});

test("a peer that takes a byte between any two looks is never late", () => {
  expect(lateAt(new Backlog(LIMIT), 0, (now) => Math.floor(now / 1000))).toBeUndefined();
});

test("the time begins anew with every begin, and what was taken before it says nothing", () => {
  const backlog = new Backlog(LIMIT);
  expect(backlog.begin(0)).toBe(LIMIT * FIRST_LOOK);
  expect(backlog.isLate(LIMIT - 1, 5)).toBe(false);
  backlog.begin(LIMIT);
  expect(backlog.isLate(LIMIT + 1, 5)).toBe(false);
  expect(backlog.isLate(2 * LIMIT - 1, 5)).toBe(false);
  expect(backlog.isLate(2 * LIMIT, 5)).toBe(true);
});

test("once nothing waits no time runs", () => {
  const backlog = new Backlog(LIMIT);
  backlog.begin(0);
  expect(backlog.waits).toBe(true);
  backlog.over();
  expect(backlog.waits).toBe(false);
  expect(backlog.isLate(10 * LIMIT, 0)).toBe(false);
  expect(backlog.nextLook(10 * LIMIT)).toBe(Infinity);
});

test("a limit of 0 is none: no look, and nobody is late", () => {
  const backlog = new Backlog(0);
  expect(backlog.begin(0)).toBe(Infinity);
  expect(backlog.isLate(1e9, 0)).toBe(false);
  expect(backlog.nextLook(1e9)).toBe(Infinity);
});
