// The edits of test/schedules/faults.mjs, by which prove.mjs puts known faults back, still fit the source.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

interface Fault {
  name: string;
  /** Below src. */
  file: string;
  find: string;
}
const { FAULTS } = (await import(new URL("../schedules/faults.mjs", import.meta.url).href)) as { FAULTS: Fault[] };

test.each(FAULTS)("$name: the text that this fault replaces is in the source, once", ({ file, find }) => {
  const source = readFileSync(new URL(`../../src/${file}`, import.meta.url), "utf8");
  expect(source.split(find)).toHaveLength(2);
});
