import { expect, test } from "vitest";
import type { Membership } from "../../src/core/bag.ts";
import { LiveSet, type Live } from "../../src/core/live-set.ts";

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
  forget.leave();
  forget.leave();
  expect([...set]).not.toContain(one);
  expect(set.size).toBe(1);
});

test("a drain asks every member, also one that goes at once; only who is left is abandoned", () => {
  const asked: string[] = [];
  const set = new LiveSet();
  set.add(member(asked, "slow"));
  const forgetQuick: Membership = set.add(member(asked, "quick", () => forgetQuick.leave()));
  set.drain();
  set.abandon();
  expect(asked).toEqual(["slow drain", "quick drain", "slow abandon"]);
});

test("who comes while it drains is asked as soon as it is made, unless it is gone by then", async () => {
  const asked: string[] = [];
  const set = new LiveSet();
  set.drain();
  set.add(member(asked, "late"));
  set.add(member(asked, "gone")).leave();
  expect(asked).toEqual([]);
  await Promise.resolve();
  expect(asked).toEqual(["late drain"]);
  set.abandon();
  expect(asked).toEqual(["late drain", "late abandon"]);
});
