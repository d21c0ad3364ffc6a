import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LiveSet, type Live } from "../../src/core/live-set.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Something open that writes down what is asked of it. */
function member(asked: string[], name: string, onDrain: () => void = () => {}): Live {
  return {
    drain() {
      asked.push(`${name} drain`);
      onDrain();
    },
    abandon: () => void asked.push(`${name} abandon`),
  };
}

test("what was added is there until it is forgotten; forgetting twice is harmless", () => {
  const set = new LiveSet();
  const one = member([], "one");
  const forget = set.add(one);
  set.add(member([], "two"));
  expect(set.size).toBe(2);
  forget();
  forget();
  expect([...set]).not.toContain(one);
  expect(set.size).toBe(1);
});

test("an empty set is drained at once", async () => {
  await new LiveSet().drain(1000);
  expect(vi.getTimerCount()).toBe(0);
});

test("a drain is over as soon as all members are gone; none of them is abandoned", async () => {
  const asked: string[] = [];
  const set = new LiveSet();
  const forgetSlow = set.add(member(asked, "slow"));
  const forgetQuick: () => void = set.add(member(asked, "quick", () => forgetQuick()));
  let over = false;
  const drained = set.drain(60_000).then(() => (over = true));
  await vi.advanceTimersByTimeAsync(100);
  expect(over).toBe(false);
  forgetSlow();
  await drained;
  expect(asked).toEqual(["slow drain", "quick drain"]);
  expect(vi.getTimerCount()).toBe(0);
});

test("who is left at the deadline is abandoned, who came in the meantime too", async () => {
  const asked: string[] = [];
  const set = new LiveSet();
  set.add(member(asked, "stuck"));
  const drained = set.drain(1000);
  set.add(member(asked, "late"));
  await vi.advanceTimersByTimeAsync(1000);
  await drained;
  expect(asked).toEqual(["stuck drain", "stuck abandon", "late abandon"]);
});
