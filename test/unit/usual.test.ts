import { Command } from "commander";
import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { commanderOptions, completeOptions, longOf, type Options } from "../../src/options/options.ts";
import { declared } from "../../src/options/table.ts";
import { readUsual } from "../../src/options/usual.ts";

afterEach(() => vi.unstubAllEnvs());

/** What can be compared of the options, and of where they came from. */
function seen(options: Options, fromEnv: ReadonlyMap<string, string>): unknown {
  return { ...options, trustProxy: options.trustProxy.rules, fromEnv: [...fromEnv.keys()].toSorted() };
}

function asUsual(args: readonly string[], env: Record<string, string>): unknown {
  const usual = readUsual(args, env);
  return usual && seen(usual.options, usual.fromEnv);
}

/** What commander reads, as command-line.ts uses it; undefined where it finds a mistake. */
function asCommander(args: readonly string[], env: Record<string, string>): unknown {
  const program = new Command().exitOverride().configureOutput({ outputError: () => {}, writeErr: () => {} });
  for (const option of commanderOptions()) program.addOption(option);
  for (const { env: name } of declared) vi.stubEnv(name, env[name]);
  program.allowExcessArguments(false).action(() => {});
  try {
    program.parse(args, { from: "user" });
    const read = program.options.filter((one) => program.getOptionValueSource(one.attributeName()) === "env");
    const fromEnv = new Map(read.map(({ long, envVar }) => [long ?? "", envVar ?? ""]));
    return seen(completeOptions(program.opts<Partial<Options>>()), fromEnv);
  } catch {
    return undefined;
  }
}

const VALUES = ["10s", "0", "4000", "64k", "on", "off", "", "-1", "--hold", "a=b", "1/mux", "/term=2/mux,3/x", "none"];
const MORE = [
  "10.0.0.0/8, ::1/128",
  "localhost",
  "a.example,*",
  "https://a.example,null",
  "info",
  "json",
  "unix:/nowhere",
];
const option = fc.constantFrom(...declared);
const valued = fc
  .tuple(option, fc.constantFrom(...VALUES, ...MORE))
  .map(([one, other]) => ({ ...one, value: other }))
  .chain((one) => fc.constantFrom(one.value, one.default ?? one.value).map((value) => ({ ...one, value })));
const words = valued.chain((one): fc.Arbitrary<string[]> => {
  const flag = longOf(one);
  if (!one.parse) return fc.constant([flag]);
  return fc.constantFrom([flag, one.value], [`${flag}=${one.value}`]);
});
const env = fc
  .array(valued, { maxLength: 3 })
  .map((some) => Object.fromEntries(some.map((one) => [one.env, one.value])));

test("long options and variables are read as commander reads them", () => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(words, { maxLength: 4 }), env, (some, variables) => {
      const args = ["--http", "1", ...some.flat()];
      const usual = asUsual(args, variables);
      expect(usual).toEqual(asCommander(args, variables));
      if (usual !== undefined) accepted += 1;
    }),
    { numRuns: 1000, seed: 1 },
  );
  expect(accepted).toBeGreaterThan(100);
});

const odd = fc.constantFrom(
  "-p",
  "-p1",
  "--",
  "check",
  "--help",
  "--takeover=1",
  "--no-via",
  "--hol",
  "--hold",
  "",
  "-",
  "--=1",
);

test("among words that are no long option and its value, nothing is read otherwise than commander does", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          words,
          odd.map((one) => [one]),
        ),
        { maxLength: 5 },
      ),
      (some) => {
        const args = ["--http", "1", ...some.flat()];
        const usual = asUsual(args, {});
        if (usual !== undefined) expect(usual).toEqual(asCommander(args, {}));
      },
    ),
    { numRuns: 1000, seed: 1 },
  );
});

test.each<[string, string[]]>([
  ["a command", ["check", "--http", "1"]],
  ["a short option", ["--http", "1", "-p", "0"]],
  ["an option without its value", ["--http", "1", "--hold"]],
  ["no web server", []],
  ["a value that is not accepted", ["--http", "1", "--hold", "soon"]],
  ["such a value, with a good one behind it", ["--http", "1", "--hold", "soon", "--hold", "1s"]],
  ["options that exclude each other", ["--http", "1", "--port", "1"]],
])("%s is left to commander", (_, args) => expect(readUsual(args, {})).toBeUndefined());
