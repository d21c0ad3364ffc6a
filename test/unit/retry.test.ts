import { expect, test } from "vitest";
import { afterBroken, isRepeatable, MAX_RETRIES, type Broken } from "../../src/exchange/retry.ts";

const broken: Broken = {
  method: "GET",
  idempotencyKey: false,
  responded: false,
  replayable: true,
  retries: 0,
  how: "rst",
};

test.each(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])("%s may be sent twice", (method) => {
  expect(isRepeatable(method, false)).toBe(true);
  expect(afterBroken({ ...broken, method })).toBe("again");
});

test.each(["POST", "PATCH", "PROPFIND", "LOCK", "get", "XGET", "PUTX"])(
  "%s may not, unless it says that it is the same one",
  (method) => {
    expect(afterBroken({ ...broken, method })).toBe("upstream_reset");
    expect(afterBroken({ ...broken, method, idempotencyKey: true })).toBe("again");
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

test("a body that cannot be sent again is not", () => {
  expect(afterBroken({ ...broken, method: "PUT", replayable: false })).toBe("upstream_reset");
});

test("never after the first byte of an answer", () => {
  expect(afterBroken({ ...broken, responded: true })).toBe("upstream_reset");
  expect(afterBroken({ ...broken, responded: true, how: "fin" })).toBe("upstream_bad_response");
});

test("nonsense is not asked for twice", () => {
  expect(afterBroken({ ...broken, how: "protocol" })).toBe("upstream_bad_response");
});
