import { expect, test } from "vitest";
import { afterBroken, isRepeatable, MAX_RETRIES, type Broken } from "../../src/exchange/retry.ts";

const broken: Broken = {
  repeatable: true,
  stale: false,
  responded: false,
  retries: 0,
  how: "rst",
};

test.each(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])("%s may be sent twice", (method) => {
  expect(isRepeatable(method, false)).toBe(true);
});

test.each(["POST", "PATCH", "PROPFIND", "LOCK", "get", "XGET", "PUTX"])(
  "%s may not, unless it says that it is the same one",
  (method) => {
    expect(isRepeatable(method, false)).toBe(false);
    expect(isRepeatable(method, true)).toBe(true);
  },
);

test("two retries, and no more", () => {
  expect(MAX_RETRIES).toBe(2);
  expect(afterBroken({ ...broken, retries: 1 })).toBe("again");
  expect(afterBroken({ ...broken, retries: 2 })).toBe("upstream_reset");
});

test("a FIN before any answer is treated as a reset", () => {
  expect(afterBroken({ ...broken, how: "fin" })).toBe("again");
  expect(afterBroken({ ...broken, how: "fin", retries: 2 })).toBe("upstream_reset");
});

test("what may not be sent twice is not", () => {
  expect(afterBroken({ ...broken, repeatable: false })).toBe("upstream_reset");
  expect(afterBroken({ ...broken, repeatable: false, how: "fin" })).toBe("upstream_reset");
});

test("never after the first byte of an answer", () => {
  expect(afterBroken({ ...broken, responded: true })).toBe("upstream_reset");
  expect(afterBroken({ ...broken, responded: true, how: "fin" })).toBe("upstream_bad_response");
});

test("nonsense is not asked for twice", () => {
  expect(afterBroken({ ...broken, how: "protocol", responded: true })).toBe("upstream_bad_response");
  expect(afterBroken({ ...broken, how: "protocol", responded: true, retries: 2 })).toBe("upstream_bad_response");
});

test("the rest of an earlier response is no answer: the request is sent again, if it may be", () => {
  const stale: Broken = { ...broken, stale: true, responded: true, how: "protocol" };
  expect(afterBroken(stale)).toBe("again");
  expect(afterBroken({ ...stale, repeatable: false })).toBe("upstream_bad_response");
  expect(afterBroken({ ...stale, retries: 2 })).toBe("upstream_bad_response");
});

test("an answer above our limit is not asked for twice, and has its own code", () => {
  expect(afterBroken({ ...broken, how: "limit", responded: true })).toBe("upstream_header_too_large");
});
