import { describe, expect, test } from "vitest";
import { readTarget } from "../../src/http/request-target.ts";

describe("request targets", () => {
  test.each(["/", "//", "//u:p@h/x", "/a/../b", "/%zz?b?c", "/\\", "/http://x", "/*", "/?"])(
    "%s is asked for as it is",
    (text) => expect(readTarget("GET", text)).toEqual({ path: text, authority: undefined }),
  );

  test.each([
    ["http://a", "/", "a"],
    ["HTTPS://a:1/", "/", "a:1"],
    ["http://a?b", "/?b", "a"],
    ["http://a//b/../c?d/e", "//b/../c?d/e", "a"],
    ["http://a/http://b", "/http://b", "a"],
    // The router refuses what is no host.
    ["http://", "/", ""],
    ["http://u:p@a/x", "/x", "u:p@a"],
  ])("%s has a path and a host", (text, path, authority) =>
    expect(readTarget("GET", text)).toEqual({ path, authority }),
  );

  test("the asterisk is for OPTIONS, and a target without a path asks for it", () => {
    expect(readTarget("OPTIONS", "*")).toEqual({ path: "*", authority: undefined });
    expect(readTarget("OPTIONS", "http://a")).toEqual({ path: "*", authority: "a" });
    expect(readTarget("OPTIONS", "http://a?b")).toEqual({ path: "/?b", authority: "a" });
    for (const method of ["GET", "POST", "TRACE"]) expect(readTarget(method, "*")).toBeUndefined();
  });

  test.each(
    ["", "a", "a:1", "?x", "*x", "*/x", "\\", "http:/a", "http:a", "://a", "ws://a/x", "ftp://a", "file:///x"].concat([
      "/#",
      "/a#b",
      "/?#",
      "http://a/#",
      "http://a#",
      "#",
      "*#",
    ]),
  )("%j is nonsense", (text) => {
    for (const method of ["GET", "OPTIONS"]) expect(readTarget(method, text)).toBeUndefined();
  });
});
