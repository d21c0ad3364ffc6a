import type { BlockList } from "node:net";
import { describe, expect, test } from "vitest";
import {
  adminAddress,
  allowedHost,
  cidrs,
  duration,
  host,
  integer,
  oneOf,
  origin,
  requestPath,
  size,
} from "../../src/options/types.ts";
import { commanderOptions, optionsFrom, optionTable, UsageError } from "../../src/options/options.ts";
import type { Settings } from "../../src/options/settings.ts";

describe("durations", () => {
  test.each([
    ["0", 0],
    ["0s", 0],
    ["250ms", 250],
    ["10s", 10_000],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["2147483647ms", 2_147_483_647],
  ])("%s is %i ms", (text, ms) => expect(duration()(text)).toBe(ms));
  test.each(["", "10", "s", "-1s", "1d", "1 s", "1e3s", "10S", "Infinity", "2147483648ms", "600h", "0x10s", "1.s"])(
    "%j is refused",
    (text) => expect(() => duration()(text)).toThrow("a duration like 250ms"),
  );
  test("below the least it is refused, 0 too", () => {
    expect(duration(50)("50ms")).toBe(50);
    expect(() => duration(50)("49ms")).toThrow("at least 50ms");
    expect(() => duration(50)("0")).toThrow("at least 50ms");
  });
});

describe("sizes", () => {
  test.each([
    ["0", 0],
    ["512", 512],
    ["64k", 65_536],
    ["1M", 1_048_576],
  ])("%s is %i bytes", (text, bytes) => expect(size(0, 2 ** 20)(text)).toBe(bytes));
  test.each(["", "k", "-1", "1.5k", "1g", "64 k", "1048577", "2m", "1kb"])("%j is refused", (text) =>
    expect(() => size(0, 2 ** 20)(text)).toThrow("a size like 64k"),
  );
});

describe("networks", () => {
  const trusts = (list: BlockList, address: string): boolean =>
    list.check(address, address.includes(":") ? "ipv6" : "ipv4");
  test("loopback is both families of it", () => {
    const list = cidrs("loopback");
    expect(["127.0.0.1", "127.9.9.9", "::1"].map((one) => trusts(list, one))).toEqual([true, true, true]);
    expect(["128.0.0.1", "::2", "10.0.0.1"].map((one) => trusts(list, one))).toEqual([false, false, false]);
  });
  test("none is nobody", () => expect(trusts(cidrs("none"), "127.0.0.1")).toBe(false));
  test("loopback beside networks, as a container wants it", () => {
    const list = cidrs("loopback,10.0.0.0/8");
    expect(["127.0.0.1", "::1", "10.0.0.1", "11.0.0.1"].map((one) => trusts(list, one))).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
  test("several, with and without a length", () => {
    const list = cidrs("10.0.0.0/8, 192.0.2.7,2001:db8::/32");
    expect(["10.255.0.1", "192.0.2.7", "2001:db8::5"].map((one) => trusts(list, one))).toEqual([true, true, true]);
    expect(["11.0.0.1", "192.0.2.8", "2001:db9::5"].map((one) => trusts(list, one))).toEqual([false, false, false]);
  });
  test.each([
    "x",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0/8",
    "::/129",
    "10.0.0.0/8x",
    "10.0.0.0/",
    "localhost",
    "toString",
    "none,10.0.0.0/8",
  ])("%j is refused", (text) => expect(() => cidrs(text)).toThrow("networks like"));
});

describe("the other kinds of value", () => {
  test.each(["", "1.5", "-1", "1e3", "0x1", " 1", "10"])("%j is no whole number from 0 to 9", (text) =>
    expect(() => integer(0, 9)(text)).toThrow("a whole number from 0 to 9"),
  );
  test.each(["127.0.0.1", "::1", "0.0.0.0", "my-host.example"])("%s may be listened on", (text) =>
    expect(host(text)).toBe(text),
  );
  test.each(["", "a b", "a/b", "127.0.0.1:80", "[::1]"])("%j may not", (text) => expect(() => host(text)).toThrow());
  test.each([
    ["https://A.example:443", "https://a.example"],
    ["http://a:8080", "http://a:8080"],
    ["https://münchen.example", "https://xn--mnchen-3ya.example"],
    ["https://*.Example.org:443", "https://*.example.org"],
    ["https://*.example.org:8443", "https://*.example.org:8443"],
    ["app://x", "app://x"],
    ["null", "null"],
    ["file://", "file://"],
    ["*", "*"],
  ])("--allow-origin %s is %s", (text, name) => expect(origin(text)).toBe(name));
  test.each([
    "",
    "example.org",
    "https://a/",
    "https://",
    "https://*",
    "https://a.*.b",
    "https://*a.b",
    "*.example.org",
  ])("--allow-origin %j is refused", (text) => expect(() => origin(text)).toThrow("an origin like"));
  test.each([
    ["*", "*"],
    ["Example.org", "example.org"],
    ["*.münchen.example", "*.xn--mnchen-3ya.example"],
    ["[2001:DB8::01]", "[2001:db8::1]"],
    ["2001:db8::1", "[2001:db8::1]"],
    ["192.0.2.7", "192.0.2.7"],
  ])("--allow-host %s is %s", (text, host) => expect(allowedHost(text)).toBe(host));
  test.each([
    "",
    "example.org:3000",
    "[::1]:80",
    "https://a",
    "*.",
    "*a",
    "a.*.b",
    "*.*.b",
    ".a",
    "*..a",
    "a/b",
    "a b",
  ])("--allow-host %j is refused", (text) => expect(() => allowedHost(text)).toThrow("a host without a port"));
  test("a word of a list", () => {
    expect(oneOf(["a", "b"])("b")).toBe("b");
    expect(() => oneOf(["a", "b"])("c")).toThrow("one of a, b");
  });
  test("a path to ask for", () => {
    expect(requestPath("/healthz?x=1")).toBe("/healthz?x=1");
    for (const bad of ["", "healthz", "/a b", "/\r\nX: y"]) expect(() => requestPath(bad)).toThrow("a path like");
  });
  test.each([
    ["9000", { host: "127.0.0.1", port: 9000 }],
    ["0", { host: "127.0.0.1", port: 0 }],
    ["0.0.0.0:9000", { host: "0.0.0.0", port: 9000 }],
    ["127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
    ["unix:/run/a.sock", { path: "/run/a.sock" }],
    ["unix:/run/a:0", { path: "/run/a:0" }],
  ])("--admin %s", (text, address) => expect(adminAddress(text)).toEqual(address));
  test.each(["", "x", "70000", "9000/x"])("--admin %j is refused", (text) =>
    expect(() => adminAddress(text)).toThrow("PORT, HOST:PORT or unix:PATH"),
  );
});

test("every option has a variable of its own, a text, and a default that is accepted", () => {
  const options = commanderOptions();
  expect(new Set(options.map(({ envVar }) => envVar)).size).toBe(options.length);
  expect(new Set(options.map(({ long }) => long)).size).toBe(options.length);
  const replaced = new Set(["PORT", "NEXT_INTERNAL_PORT", "DIRECT_TERMINAL_PORT"]);
  for (const { long, envVar = "", description } of options) {
    expect(description, long ?? "").not.toBe("");
    const wanted = `SINGLE_PORT_${(long ?? "").slice(2).toUpperCase().replaceAll("-", "_")}`;
    expect(replaced.has(envVar) ? wanted : envVar).toBe(wanted);
  }
});

test("the table of the README has a row for every option", () => {
  const rows = optionTable()
    .split("\n")
    .filter((row) => row.startsWith("| `"));
  expect(rows).toHaveLength(commanderOptions().length);
  for (const { flags, envVar } of commanderOptions()) {
    expect(
      // A bar would end the cell.
      rows.some((row) => row.includes(`\`${flags.replaceAll("|", "\\|")}\``) && row.includes(`\`${envVar}\``)),
      flags,
    ).toBe(true);
  }
});

describe("options of a program", () => {
  test("take text, numbers, switches and lists; the rest are defaults", () => {
    const options = optionsFrom({ port: 0, http: 4000, mux: ["1/a", "/b=2"], accessLog: true, hold: "1s" });
    expect(options).toMatchObject({
      port: 0,
      accessLog: true,
      takeover: false,
      hold: 1000,
      drain: 4000,
      allowOrigin: [],
    });
    expect(options.mux.map(({ paths }) => paths)).toEqual([["/ao-terminal-mux", "/a"], ["/b"]]);
  });
  test("a number of a duration is in milliseconds, one of a size in bytes; undefined is not given", () => {
    const given = { http: 1, hold: 250, drain: 0, recycle: undefined, replayBuffer: 512, maxHeaderSize: 65_536 };
    expect(optionsFrom(given)).toMatchObject({
      hold: 250,
      drain: 0,
      recycle: 4000,
      replayBuffer: 512,
      maxHeaderSize: 65_536,
    });
  });
  test.each<[unknown, boolean]>([
    [undefined, true],
    ["on", true],
    [true, true],
    ["off", false],
    [false, false],
  ])("what is on by default is, given as %j, %j", (value, expected) => {
    const given = { http: 1, forwarded: value, via: value } as Settings;
    expect(optionsFrom(given)).toMatchObject({ forwarded: expected, via: expected });
  });
  test("port 0 is another one each time", () => {
    expect(optionsFrom({ port: 0, http: 1, admin: "0" })).toMatchObject({ port: 0, admin: { port: 0 } });
  });
  test.each([false, "false", "0", "off"])("a switch that is given as %j is off, as in the environment", (takeover) =>
    expect(optionsFrom({ http: 4000, takeover: takeover as boolean }).takeover).toBe(false),
  );
  test.each([true, "true", "1"])("one that is given as %j is on", (takeover) =>
    expect(optionsFrom({ http: 4000, takeover: takeover as boolean }).takeover).toBe(true),
  );
  test.each<[string, Settings]>([
    ["'http' is 'x'. Accepted", { http: "x" }],
    ["'hold' is 'soon'. Accepted", { http: 1, hold: "soon" }],
    ["no option 'htpp'. Accepted", { http: 1, htpp: 1 } as Settings],
    ["is required", {} as Settings],
    ["'hold' is '-1'. Accepted: a duration", { http: 1, hold: -1 }],
    ["'hold' is 'NaN'. Accepted: a duration", { http: 1, hold: Number.NaN }],
    ["'replayBuffer' is '0.5'. Accepted: a size", { http: 1, replayBuffer: 0.5 }],
    ["'onDown' is 'true'. Accepted: text", { http: 1, onDown: true } as never],
    ["'via' is 'no'. Accepted: on or off", { http: 1, via: "no" }],
    ["'forwarded' is '0'. Accepted: on or off", { http: 1, forwarded: 0 } as never],
    ["the address this proxy listens on", { http: 3000 }],
    ["'--admin' is 127.0.0.1:3000, the address this proxy listens on", { http: 1, admin: "localhost:3000" }],
    ["'--http' is 127.0.0.1:4000, and so is --admin", { http: 4000, admin: 4000 }],
    ["'--mux' is unix:/a, and so is --admin", { http: 1, mux: ["unix:/a:/mux"], admin: "unix:/a" }],
    ["gives the public path /a to two muxes", { http: 1, mux: ["/a=1", "/a=2"] }],
  ])("refuse with %s", (message, settings) => {
    expect(() => optionsFrom(settings)).toThrow(UsageError);
    expect(() => optionsFrom(settings)).toThrow(message);
  });
});
