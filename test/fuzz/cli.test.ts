// Any words on the command line and in the environment: it says what would run, or one line about what is wrong.

import fc from "fast-check";
import { expect, test } from "vitest";
import { singlePort } from "../kit/command.ts";
import { anyBytes, mangled, patience, tryOut } from "../kit/fuzz.ts";

const FLAGS = [
  "--http",
  "--mux",
  "--port",
  "--hold",
  "--host",
  "--trust-proxy",
  "--admin",
  "--log-level",
  "--takeover",
  "--nothing",
];
const VALUES = [
  "4000",
  "1/mux",
  "/term=1/mux",
  "unix:/nowhere:/mux",
  "10s",
  "64k",
  "127.0.0.0/8",
  "toString",
  "a\nb",
  "\u001B[31m",
  "",
];

// No argument nor variable of any system can hold a NUL.
const word = mangled(fc.constantFrom(...VALUES), anyBytes).map((text) => text.replaceAll("\0", ""));
const option = fc
  .tuple(fc.constantFrom(...FLAGS), fc.option(word))
  .map(([flag, value]) => (value === null ? [flag] : [flag, value]));
const words = fc.array(fc.oneof({ weight: 6, arbitrary: option }, { weight: 1, arbitrary: word.map((one) => [one]) }), {
  maxLength: 4,
});
const env = fc.dictionary(
  fc.constantFrom("PORT", "HOST", "SINGLE_PORT_HOLD", "SINGLE_PORT_MUX", "DIRECT_TERMINAL_PORT"),
  word,
  {
    maxKeys: 2,
    noNullPrototype: true,
  },
);

test("any arguments and environment", { timeout: patience() }, async () => {
  await tryOut(
    fc.asyncProperty(words, env, async (given, variables) => {
      // Nobody listens on port 1; a later --http wins.
      const { code, stdout, stderr } = await singlePort(["check", "--http", "1", ...given.flat()], variables);
      expect([0, 64, 78], stderr).toContain(code);
      if (code === 64) {
        expect(stderr).toMatch(/^single-port: \P{Cc}+\n$/u);
        expect(stderr).toMatch(/Accepted: /);
      } else expect([stderr, stdout]).toEqual(["", expect.stringMatching(/\S/)]);
    }),
  );
});
