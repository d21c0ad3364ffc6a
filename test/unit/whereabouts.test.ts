// Where an upstream is dialled, of which only the port was given, while several dial at once.

import { beforeEach, expect, test } from "vitest";
import { parseTarget } from "../../src/core/target.ts";
import { Whereabouts } from "../../src/upstream/whereabouts.ts";

const FIRST = { host: "127.0.0.1", port: 4000 };
const SECOND = { host: "::1", port: 4000 };
const REFUSED = "ECONNREFUSED";

let told: string[] = [];
const whereabouts = (text: string): Whereabouts => new Whereabouts(parseTarget(text), (label) => told.push(label));
beforeEach(() => void (told = []));

test("a refusal at the first address leads to the second, and one there to nowhere", () => {
  const where = whereabouts("4000");
  expect(where.alternative(FIRST, REFUSED)).toEqual(SECOND);
  expect(where.alternative(where.alternative(FIRST, REFUSED) ?? FIRST, REFUSED)).toBeUndefined();
});

test.each(["ETIMEDOUT", "ECONNRESET", "EMFILE"])("%s says nothing about an address", (code) =>
  expect(whereabouts("4000").alternative(FIRST, code)).toBeUndefined(),
);

test("an address that was given has no other", () =>
  expect(whereabouts("127.0.0.1:4000").alternative(FIRST, REFUSED)).toBeUndefined());

test("where it was reached it stays: another program may listen at the other address", () => {
  const where = whereabouts("4000");
  where.reached(where.address);
  expect(where.alternative(where.address, REFUSED)).toBeUndefined();
  expect([where.label, told]).toEqual(["127.0.0.1:4000", []]);
});

test("a dial that is refused while another one finds the upstream follows it", () => {
  const where = whereabouts("4000");
  const { address } = where;
  where.reached(where.alternative(address, REFUSED) ?? address);
  expect([where.label, told]).toEqual(["[::1]:4000", ["[::1]:4000"]]);
  expect(where.alternative(address, REFUSED)).toEqual(SECOND);
  expect(where.alternative(where.address, REFUSED)).toBeUndefined();
});

test("what is at both is dialled at the first", () => {
  const where = whereabouts("4000");
  const { address } = where;
  where.reached(where.alternative(address, REFUSED) ?? address);
  where.isThereAfterAll();
  expect([where.address, where.label]).toEqual([FIRST, "127.0.0.1:4000"]);
});
