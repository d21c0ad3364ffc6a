// What a client and the log are told when node's HTTP parser refuses bytes.

import { expect, test } from "vitest";
import { failureOf } from "../../src/front/parser-failure.ts";

function parserError(code: string, more: { reason?: string; rawPacket?: Buffer } = {}): Error {
  return Object.assign(new Error("Parse Error"), { code, ...more });
}

test.each([
  [
    "HPE_INVALID_METHOD",
    { reason: "Invalid method encountered" },
    "bytes that break HTTP (Invalid method encountered)",
  ],
  ["HPE_INVALID_METHOD", { rawPacket: Buffer.from("GARBAGE") }, "bytes that break HTTP"],
  ["HPE_INVALID_METHOD", { rawPacket: Buffer.from("1603010005", "hex") }, "a TLS handshake"],
  ["HPE_INVALID_METHOD", { reason: "x", rawPacket: Buffer.from("16", "hex") }, "bytes that break HTTP (x)"],
])("%s with %o is 400: %s", (code, more, seen) => {
  const failure = failureOf(parserError(code, more));
  expect(failure).toMatchObject({ code: "bad_request", status: 400, why: { seen } });
});

test.each(["HPE_HEADER_OVERFLOW", "HPE_CHUNK_EXTENSIONS_OVERFLOW"])("%s is 431", (code) => {
  expect(failureOf(parserError(code))?.code).toBe("header_too_large");
});

test("an error of the socket is no failure: the client cannot be told anything", () => {
  expect(failureOf(parserError("ECONNRESET"))).toBeUndefined();
});
