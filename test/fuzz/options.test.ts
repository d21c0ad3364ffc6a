// Any text as a target, a value of an option or of the environment: a value that can be used, or one line that says
// what is accepted; never anything else.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as types from "../../src/options/types.ts";
import { readEnvironment } from "../../src/options/environment.ts";
import { optionsFrom, UsageError } from "../../src/options/options.ts";
import { parseMux, parseTarget, type Target } from "../../src/core/target.ts";
import { mangled, patience, tryOut } from "../kit/fuzz.ts";

/** What every object has beside its own. */
const inherited = ["toString", "constructor", "__proto__", "valueOf"];
const odd = fc.oneof(
  fc.string({ unit: "binary", maxLength: 4 }),
  fc.constantFrom(
    ":",
    "/",
    "=",
    ",",
    ".",
    "[",
    "]",
    "@",
    "%",
    "?",
    "#",
    " ",
    "\n",
    "\0",
    "0",
    "9".repeat(20),
    "-1",
    "e5",
  ),
);
const like = (...examples: string[]): fc.Arbitrary<string> =>
  fc.oneof(mangled(fc.constantFrom(...examples), odd), fc.string({ unit: "binary" }), fc.constantFrom(...inherited));

const targets = like(
  "4000",
  ":4000",
  "host:4000",
  "http://host:4000",
  "ws://host:14801/mux",
  "14801/mux",
  "[::1]:4000",
  "unix:/run/app.sock",
  "unix:/run/app.sock:/mux",
  "/term=14801/mux",
  "unix:\\\\.\\pipe\\x:/mux",
);

/** What a function returns, or the message that it throws; a message is one line, and not for programmers. */
function attempt<T>(run: () => T): { value: T } | { message: string } {
  try {
    return { value: run() };
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    const { message, constructor } = error as Error;
    expect([Error, UsageError]).toContain(constructor);
    expect(message).not.toMatch(/undefined|\[object|NaN|Cannot read|is not a function/);
    return { message };
  }
}

function expectUsable({ address, label, path }: Target): void {
  if ("port" in address) {
    expect(address.port).toBeGreaterThan(0);
    expect(address.port).toBeLessThan(65_536);
    expect(address.host).toMatch(/^[\w.:%-]+$/);
  } else expect(address.path).not.toBe("");
  expect(path ?? "/").toMatch(/^\/[!-~]*$/);
  // It can be read back, and means the same.
  expect(
    parseTarget(`${label}${"port" in address ? "" : ":"}${path ?? ("port" in address ? "" : "/")}`).address,
  ).toEqual(address);
}

describe("targets", () => {
  test("any text", { timeout: patience() }, async () => {
    await tryOut(
      fc.property(targets, (text) => {
        const target = attempt(() => parseTarget(text));
        if ("value" in target) expectUsable(target.value);
        else expect(target.message).not.toContain("\n");
        const mux = attempt(() => parseMux(text));
        if (!("value" in mux)) return;
        expectUsable(mux.value.target);
        for (const path of mux.value.paths) expect(path).toMatch(/^\/[!-~]*$/);
      }),
    );
  });
});

const numbers = like("0", "250ms", "10s", "1.5m", "2h", "64k", "1m", "2147483647ms", "3000");

describe("types of options", () => {
  test("numbers are within their bounds, or refused", { timeout: patience() }, async () => {
    await tryOut(
      fc.property(numbers, (text) => {
        const checks = [
          [types.duration(), 0, 2 ** 31 - 1],
          [types.duration(50), 50, 2 ** 31 - 1],
          [types.size(0, 2 ** 20), 0, 2 ** 20],
          [types.integer(1, 65_535), 1, 65_535],
        ] as const;
        for (const [parse, least, most] of checks) {
          const read = attempt(() => parse(text));
          if (!("value" in read)) continue;
          expect(Number.isInteger(read.value)).toBe(true);
          expect(read.value).toBeGreaterThanOrEqual(least);
          expect(read.value).toBeLessThanOrEqual(most);
        }
      }),
    );
  });

  test("words, addresses, networks, origins and paths", { timeout: patience() }, async () => {
    const words = like(
      "127.0.0.1",
      "::1",
      "localhost",
      "127.0.0.0/8,::1/128",
      "loopback",
      "https://a.example",
      "*",
      "/healthz",
      "127.0.0.1:0",
      "unix:/x",
    );
    await tryOut(
      fc.property(words, (text) => {
        for (const parse of [types.host, types.cidrs, types.origin, types.requestPath, types.adminAddress]) {
          const read = attempt((): unknown => parse(text));
          if ("message" in read) expect(read.message).not.toContain("\n");
        }
      }),
    );
  });
});

const NAMES = [
  "port",
  "host",
  "http",
  "mux",
  "trustProxy",
  "forwarded",
  "via",
  "allowOrigin",
  "hold",
  "pingInterval",
  "replayBuffer",
  "maxHeaderSize",
  "maxTunnels",
  "httpProbe",
  "onDown",
  "parentPid",
  "admin",
  "logLevel",
  "logFormat",
  "accessLog",
  "takeover",
  "noSuch",
];
const value = fc.oneof(
  targets,
  numbers,
  fc.integer(),
  fc.boolean(),
  fc.double({ noNaN: true }),
  fc.array(targets, { maxLength: 3 }),
);

test(
  "all options together: they are complete, or one line names the one that is wrong",
  { timeout: patience() },
  async () => {
    const settings = fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 4, noNullPrototype: true });
    await tryOut(
      fc.property(settings, (given) => {
        const read = attempt(() => optionsFrom({ http: "4000", ...given }));
        if ("value" in read) expect(read.value.http.address).toBeDefined();
        else expect(read.message).toMatch(/^(option '|there is no option ')[^]*Accepted: /);
      }),
    );
  },
);

test("any environment: what is empty or off is as if it were not there", { timeout: patience() }, async () => {
  const names = fc.constantFrom(
    "PORT",
    "HOST",
    "NEXT_INTERNAL_PORT",
    "DIRECT_TERMINAL_PORT",
    "SINGLE_PORT_TAKEOVER",
    "SINGLE_PORT_HOLD",
    "OTHER",
  );
  const env = fc.dictionary(names, fc.oneof(numbers, fc.constantFrom("", "0", "false", "no", "OFF", "1", "yes")));
  await tryOut(
    fc.property(env, (given) => {
      const read = { ...given };
      const { restore } = readEnvironment(read, []);
      for (const [name, text] of Object.entries(read)) {
        if (name === "OTHER" || name === "HOST") expect(text).toBe(given[name]);
        else expect(text).not.toBe("");
      }
      if (/^(0|false|no|off)$/i.test(given["SINGLE_PORT_TAKEOVER"] ?? ""))
        expect(read).not.toHaveProperty("SINGLE_PORT_TAKEOVER");
      restore();
      expect(read).toEqual(given);
    }),
  );
});
