// What request and response fields have in common, where readers differ.

import { describe, expect, test } from "vitest";
import { codingsOf, ows, tokens } from "../../src/http/fields.ts";

describe("optional whitespace is SP and HTAB", () => {
  test.each([
    ["", ""],
    [" \t ", ""],
    ["a", "a"],
    [" \ta b\t ", "a b"],
  ])("%j is %j", (text, expected) => expect(ows(text)).toBe(expected));

  // Everything else that String.trim() takes and a byte can be.
  test.each(["\xa0", "\x0b", "\x0c", "\r", "\n", "\0", "\x85"])("%j is part of the value", (byte) => {
    expect(ows(` ${byte}a${byte} `)).toBe(`${byte}a${byte}`);
    expect(tokens(`a${byte}, ${byte}b`)).toEqual([`a${byte}`, `${byte}b`]);
    expect(codingsOf(`chunked${byte}`)).toEqual([`chunked${byte}`]);
  });
});
