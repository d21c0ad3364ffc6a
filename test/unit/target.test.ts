import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hostPort, isSameAddress, parseMux, parseTarget } from "../../src/core/target.ts";

test.each([
  ["4000", { host: "127.0.0.1", port: 4000 }, "127.0.0.1:4000", undefined],
  [":4000", { host: "127.0.0.1", port: 4000 }, "127.0.0.1:4000", undefined],
  ["host:4000", { host: "host", port: 4000 }, "host:4000", undefined],
  ["my_host.example-1:1", { host: "my_host.example-1", port: 1 }, "my_host.example-1:1", undefined],
  ["http://host:4000", { host: "host", port: 4000 }, "host:4000", undefined],
  ["HTTP://host:4000/", { host: "host", port: 4000 }, "host:4000", undefined],
  ["ws://host:14801/mux", { host: "host", port: 14801 }, "host:14801", "/mux"],
  ["14801/mux", { host: "127.0.0.1", port: 14801 }, "127.0.0.1:14801", "/mux"],
  ["14801/", { host: "127.0.0.1", port: 14801 }, "127.0.0.1:14801", "/"],
  ["14801/a//b/../%2f@", { host: "127.0.0.1", port: 14801 }, "127.0.0.1:14801", "/a//b/../%2f@"],
  ["[::1]:4000", { host: "::1", port: 4000 }, "[::1]:4000", undefined],
  ["[fe80::1%eth0]:65535/x", { host: "fe80::1%eth0", port: 65535 }, "[fe80::1%eth0]:65535", "/x"],
  ["unix:/run/app.sock", { path: "/run/app.sock" }, "unix:/run/app.sock", undefined],
  ["unix:/run/app.sock:/mux", { path: "/run/app.sock" }, "unix:/run/app.sock", "/mux"],
  ["unix:app.sock", { path: "app.sock" }, "unix:app.sock", undefined],
  ["unix:/run/a:b.sock", { path: "/run/a:b.sock" }, "unix:/run/a:b.sock", undefined],
])("%s is understood", (text, address, label, path) => {
  // A bare port may be on the other loopback address, too.
  const other = /^:?\d/.test(text) ? { other: { host: "::1", port: Number(/\d+/.exec(text)?.[0]) } } : {};
  expect(parseTarget(text)).toEqual({ address, label, path, ...other });
});

test.each([
  "",
  "/mux",
  "host",
  "0",
  "65536",
  "-1",
  "4000x",
  "host:",
  "host:port",
  "::1:4000",
  "[::1]",
  "[::1:4000",
  "https://host:4000",
  "wss://host:4000",
  "ftp://host:4000",
  "http://host",
  "http://user@host:4000",
  "4000/mux?x=1",
  "4000/mux#x",
  "4000/a b",
  "4000/ü",
  "a b:1",
  "unix:",
  "unix::/mux",
  "unix:/run/app.sock:/a b",
])("%j is refused", (text) => {
  expect(() => parseTarget(text)).toThrow(Error);
});

test.each([
  [
    "https://a:1",
    "https:// is not supported for upstreams; TLS ends at the front: give the port that serves plain http://",
  ],
  [
    "WSS://a:1/mux",
    "WSS:// is not supported for upstreams; TLS ends at the front: give the port that serves plain ws://",
  ],
  ["ftp://a:1", "ftp:// is not supported for upstreams"],
])("%s is refused in words of its scheme", (text, words) => expect(() => parseTarget(text)).toThrow(new Error(words)));

test("a target's label is a target again, for any port and path", () => {
  const path = fc.stringMatching(/^\/[a-z0-9/._;@%-]{0,20}$/);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 65535 }), path, (port, path) => {
      const target = parseTarget(`${port}${path}`);
      expect(target.path).toBe(path);
      expect(parseTarget(target.label).address).toEqual(target.address);
    }),
  );
});

test("whatever is given, it is understood or refused with a reason, and never takes long", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      try {
        expect(parseTarget(text).label).not.toBe("");
      } catch (error) {
        expect((error as Error).message).not.toBe("");
      }
    }),
  );
});

describe("a mux", () => {
  test.each([
    ["14801/mux", ["/ao-terminal-mux", "/mux"], "/mux"],
    ["14801", ["/ao-terminal-mux", "/mux"], "/mux"],
    ["ws://host:14801/", ["/ao-terminal-mux", "/mux"], "/mux"],
    ["unix:/run/app.sock", ["/ao-terminal-mux", "/mux"], "/mux"],
    ["14801/", ["/ao-terminal-mux", "/"], "/"],
    ["14801/ao-terminal-mux", ["/ao-terminal-mux"], "/ao-terminal-mux"],
    ["/term=14801/mux", ["/term"], "/mux"],
    ["/term=14801", ["/term"], undefined],
    ["/term=unix:/run/a=b.sock:/mux", ["/term"], "/mux"],
    ["unix:/run/app.sock:/mux", ["/ao-terminal-mux", "/mux"], "/mux"],
  ])("%s answers on %j", (text, paths, path) => {
    const mux = parseMux(text);
    expect(mux.paths).toEqual(paths);
    expect(mux.target.path).toBe(path);
  });

  test.each(["term=14801", "/a b=1", "/a?b=1", "=1", "/term=", "/term"])("%j is refused", (text) => {
    expect(() => parseMux(text)).toThrow(Error);
  });
});

test.each([
  ["4000", "127.0.0.1", 4000, true],
  ["4000", "127.0.0.1", 4001, false],
  ["localhost:4000", "127.0.0.1", 4000, true],
  ["127.1.2.3:4000", "::1", 4000, true],
  ["[::1]:4000", "0.0.0.0", 4000, true],
  ["0.0.0.0:4000", "127.0.0.1", 4000, true],
  ["Example.org:4000", "example.ORG", 4000, true],
  ["example.org:4000", "127.0.0.1", 4000, false],
  ["10.0.0.1:4000", "0.0.0.0", 4000, false],
  ["unix:/run/app.sock", "127.0.0.1", 4000, false],
])("%s, in front of which %s:%i listens: the same? %s", (text, host, port, same) => {
  expect(isSameAddress(parseTarget(text).address, { host, port })).toBe(same);
});

test.each([
  ["127.0.0.1", "127.0.0.1:3000"],
  ["::1", "[::1]:3000"],
  ["localhost", "localhost:3000"],
])("%s and a port are told as %s", (host, told) => expect(hostPort(host, 3000)).toBe(told));
