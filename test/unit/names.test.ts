import { describe, expect, test } from "vitest";
import { holdsHost, hostName } from "../../src/core/names.ts";

describe("a host has one spelling", () => {
  test.each([
    ["example.org", "example.org"],
    ["Example.ORG:3000", "example.org"],
    ["example.org.", "example.org"],
    ["example.org.:80", "example.org"],
    ["münchen.example", "xn--mnchen-3ya.example"],
    ["XN--mnchen-3ya.example", "xn--mnchen-3ya.example"],
    ["127.0.0.1:3000", "127.0.0.1"],
    ["127.1", "127.0.0.1"],
    ["[::0001]:3000", "[::1]"],
    ["my_host", "my_host"],
    ["a:", "a"],
  ])("%s is %s", (text, name) => expect(hostName(text)).toBe(name));
  test.each([
    "",
    ":80",
    "a b",
    "a/b",
    "a%41",
    "a@b",
    "a?b",
    "a#b",
    "a\\b",
    "::1",
    "[::1%25eth0]",
    "a:b",
    "[x]",
    "https://a",
  ])("%j is none", (text) => expect(hostName(text)).toBeUndefined());
});

describe("a list", () => {
  const list = new Set(["a.example", "*.b.example", "[::1]"]);
  test.each(["a.example", "x.b.example", "y.x.b.example", "[::1]"])("holds %s", (host) =>
    expect(holdsHost(list, host)).toBe(true),
  );
  test.each(["b.example", "xb.example", "x.a.example", "example", ".b.example", "b.example.evil"])(
    "does not hold %s",
    (host) => expect(holdsHost(list, host)).toBe(false),
  );
  test("that has a * holds every host", () => expect(holdsHost(new Set(["*"]), "x")).toBe(true));
});
