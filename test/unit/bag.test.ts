import { expect, test } from "vitest";
import { Bag, type Membership } from "../../src/core/bag.ts";

/** A bag of the numbers below `count`, and how each is removed. */
function filled(count: number): { bag: Bag<number>; remove: Membership[] } {
  const bag = new Bag<number>();
  const remove = Array.from({ length: count }, (_, i) => bag.add(i));
  return { bag, remove };
}
const sorted = (bag: Bag<number>): number[] => bag.members().toSorted((a, b) => a - b);

test.each([0, 2, 4])("number %i of five can be removed, once", (which) => {
  const { bag, remove } = filled(5);
  remove[which]?.leave();
  remove[which]?.leave();
  expect(sorted(bag)).toEqual([0, 1, 2, 3, 4].filter((one) => one !== which));
  for (const one of remove) one.leave();
  expect(bag.size).toBe(0);
});

test("a member that was added twice is in it twice", () => {
  const bag = new Bag<string>();
  const remove = bag.add("a");
  bag.add("a");
  remove.leave();
  remove.leave();
  expect(bag.members()).toEqual(["a"]);
});

test("who is removed or added while they are visited is not visited; everybody else is, once", () => {
  const { bag, remove } = filled(6);
  const visited: number[] = [];
  bag.forEach((one) => {
    visited.push(one);
    if (one === 0) for (const gone of [0, 1, 4]) remove[gone]?.leave();
    if (one === 2) bag.add(9);
  });
  expect(visited).toEqual([0, 2, 3, 5]);
  expect(sorted(bag)).toEqual([2, 3, 5, 9]);
});
