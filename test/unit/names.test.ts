import { describe, expect, test } from "vitest";
import { holdsHost, holdsOrigin, hostName, originName } from "../../src/core/names.ts";

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

describe("an origin has one spelling", () => {
  test.each([
    ["https://Example.org:443", "https://example.org"],
    ["HTTP://example.org:080", "http://example.org"],
    ["http://example.org:443", "http://example.org:443"],
    ["https://münchen.example", "https://xn--mnchen-3ya.example"],
    ["http://[::0001]:3000", "http://[::1]:3000"],
    ["app://x", "app://x"],
    ["null", "null"],
    ["file://", "file://"],
  ])("%s is %s", (text, name) => expect(originName(text)).toBe(name));
  test.each([
    "",
    "example.org",
    "https://",
    "https://a/",
    "https://a?b",
    "https://u@a",
    "https://a:65536",
    "NULL",
    "file:///x",
  ])("%j is none", (text) => expect(originName(text)).toBeUndefined());
});

describe("a list of origins", () => {
  const list = new Set(["https://a.example", "https://*.b.example", "null", "http://*.c.example:8080"]);
  test.each(["https://a.example", "https://A.example:443", "https://x.y.b.example", "null", "http://x.c.example:8080"])(
    "holds %s",
    (origin) => expect(holdsOrigin(list, origin)).toBe(true),
  );
  test.each([
    "http://a.example",
    "https://a.example:8443",
    "https://b.example",
    "https://xb.example",
    "http://x.b.example",
    "http://x.c.example",
    "file://",
    "https://b.example.evil",
    "https://x.b.example/",
    "https://evil/.b.example",
    "",
  ])("does not hold %j", (origin) => expect(holdsOrigin(list, origin)).toBe(false));
  test("that has a * holds everything", () => expect(holdsOrigin(new Set(["*"]), "%")).toBe(true));
});
