import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { nameOf } from "../../src/options/options.ts";
import { declared, type Declared } from "../../src/options/table.ts";

const source = readFileSync(new URL("../../src/options/settings.ts", import.meta.url), "utf8");
const body = /export interface Settings \{\n(.*?)\n\}/s.exec(source)?.[1] ?? "";
const members = [...body.matchAll(/^ {2}\/\*\* (.*?) \*\/\n {2}(\w+)(\??): (.*);$/gm)].map(
  ([, text = "", name = "", optional, type]) => ({ text, name, optional: optional === "?", type }),
);

test("there is a member with a docstring for each option, in the order of the table", () => {
  expect(members.map(({ name }) => name)).toEqual(declared.map(nameOf));
  expect(body.match(/^ {2}\w/gm)).toHaveLength(members.length);
});

/** The types that the value of an option may have, by what stands behind its flag. */
function typesOf({ flags, repeatable }: Declared): string[] {
  const [, kind] = /<(.*)>/.exec(flags) ?? [];
  if (kind === undefined) return ["boolean"];
  if (kind === "time") return ["Duration"];
  if (kind === "size") return ["Size"];
  if (kind === "n") return ["number | string"];
  if (repeatable) return ["string | readonly string[]", "number | string | readonly (number | string)[]"];
  return ["string", "number | string", "boolean | string"];
}

describe.each(declared.map((option, index) => ({ name: nameOf(option), option, member: members[index] })))(
  "$name",
  ({ option, member }) => {
    const required = nameOf(option) === "http";
    test("says the default of the table", () => {
      const without = required ? "Required." : `Default: ${option.default ?? (option.parse ? "none" : "off")}.`;
      expect(member?.text.endsWith(` ${without}`), member?.text).toBe(true);
    });
    test("has the type of its kind, and may be undefined unless it is required", () => {
      expect(member?.optional).toBe(!required);
      const types = typesOf(option).map((type) => (required ? type : `${type} | undefined`));
      expect(types).toContain(member?.type);
    });
  },
);
