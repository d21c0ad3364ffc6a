import { expect, test } from "vitest";
import { readRequestHead } from "../../src/http/request-head.ts";
import { isLast, toUpstream } from "../../src/http/upstream-head.ts";
import { readResponseHead, toClient } from "../../src/http/response-head.ts";

/** `Name: value` lines to node's raw array. */
const raw = (...lines: string[]): string[] => lines.flatMap((line) => line.split(/: ?(.*)/, 2));
/** And back. */
const lines = (fields: readonly string[]): string[] =>
  fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${fields[i + 1]}`] : []));

/** The lines that go up. */
function up(sent: string[], method: string, upgrade = false): string[] {
  const peer = { address: "127.0.0.1", trusted: true };
  const line = { method, path: "/" };
  const adds = { via: "1.1 single-port (abcd)", viaField: "Via", forwarded: true } as const;
  const text = toUpstream(readRequestHead(raw("Host: a", ...sent)), line, peer, adds, upgrade);
  return text.split("\r\n").slice(1, -2);
}
/** A response's head, as bytes would bring it. */
const response = (sent: readonly string[], status = 200): ReturnType<typeof readResponseHead> =>
  readResponseHead([`HTTP/1.1 ${status} OK`, ...sent].join("\r\n"));
const FRAMING = /^(content-length|transfer-encoding|trailer|connection|upgrade)/i;
const framed = (sent: string[], method: string, upgrade = false): string[] =>
  up(sent, method, upgrade).filter((line) => FRAMING.test(line) && !/^Connection: (keep-alive|close)$/.test(line));

test.each(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "QUERY"])(
  "%s with a body",
  (method) => {
    expect(framed(["transfer-encoding: ,CHUNKED"], method)).toEqual(["Transfer-Encoding: chunked"]);
    expect(framed(["content-length: 5"], method)).toEqual(["Content-Length: 5"]);
    expect(framed(["Transfer-Encoding: chunked", "Trailer: A", "trailer: B"], method)).toEqual([
      "Trailer: A, B",
      "Transfer-Encoding: chunked",
    ]);
    expect(framed(["Content-Length: 5", "Trailer: A"], method)).toEqual(["Content-Length: 5"]);
  },
);

test.each([
  ["GET", []],
  ["HEAD", []],
  ["DELETE", []],
  ["OPTIONS", []],
  ["TRACE", []],
  ["POST", ["Content-Length: 0"]],
  ["PUT", ["Content-Length: 0"]],
  ["PATCH", ["Content-Length: 0"]],
])("%s without a body", (method, expected) => {
  expect(framed(["Trailer: A"], method)).toEqual(expected);
});

test("a body where none is usual goes up with Connection: close", () => {
  const said = (method: string, ...sent: string[]): string | undefined => up(sent, method).at(-1);
  for (const method of ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]) {
    expect(said(method, "Content-Length: 5"), method).toBe("Connection: close");
    expect(said(method, "Transfer-Encoding: chunked", "TE: trailers"), method).toBe("Connection: close, TE");
    expect(said(method, "Content-Length: 0"), method).toBe("Connection: keep-alive");
    expect(said(method), method).toBe("Connection: keep-alive");
  }
  for (const method of ["POST", "PUT", "PATCH", "PROPFIND"]) {
    expect(said(method, "Content-Length: 5"), method).toBe("Connection: keep-alive");
    expect(said(method, "Transfer-Encoding: chunked"), method).toBe("Connection: keep-alive");
  }
});

test("a body in chunks, and one where none is usual, is the last of its connection", () => {
  const last = (method: string, length: string | undefined, ...codings: string[]): boolean =>
    isLast(method, { length, codings });
  for (const method of ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "POST", "PUT", "PROPFIND"]) {
    expect(last(method, undefined, "chunked"), method).toBe(true);
    expect([last(method, undefined), last(method, "0")], method).toEqual([false, false]);
  }
  expect(["GET", "DELETE", "POST", "PUT"].map((method) => last(method, "5"))).toEqual([true, true, false, false]);
});

test("it stands behind everything else, where node leaves Content-Disposition alone", () => {
  const sent = up(["Content-Length: 5", "Content-Disposition: x"], "POST");
  expect(sent.slice(-2)).toEqual(["Content-Length: 5", "Connection: keep-alive"]);
  const answer = response(["Content-Length: 5", "Content-Disposition: x"]);
  expect(answer && lines(toClient(answer, true, false))).toEqual(["Content-Disposition: x", "Content-Length: 5"]);
});

test("an upgrade is asked for in our words", () => {
  const sent = ["Connection: keep-alive, Upgrade", "Upgrade: websocket", "Content-Length: 0"];
  expect(framed(sent, "GET", true)).toEqual(["Connection: Upgrade", "Upgrade: websocket"]);
  expect(framed(sent, "GET")).toEqual(["Content-Length: 0"]);
});

test.each([
  [["Transfer-Encoding: chunked"], ["chunked"]],
  [
    ["Transfer-Encoding: gzip", "transfer-encoding: CHUNKED"],
    ["gzip", "chunked"],
  ],
  [["Transfer-Encoding: , chunked ,"], ["chunked"]],
  [["Transfer-Encoding:"], [""]],
  [["Transfer-Encoding: ,"], [""]],
  [[], []],
])("codings of %j are %j", (sent, codings) => {
  expect(readRequestHead(raw(...sent)).codings).toEqual(codings);
});

test.each([
  [["Transfer-Encoding: chunked", "Trailer: A"], {}, "chunked", ["Trailer: A", "Transfer-Encoding: chunked"]],
  [["Transfer-Encoding: chunked", "Trailer: A"], { chunkable: false }, "chunked", []],
  [["Transfer-Encoding: chunked"], { bodiless: true }, "chunked", []],
  [["Content-Length: 5", "Trailer: A"], {}, "length", ["Content-Length: 5"]],
  [["Content-Length: 5"], { bodiless: true }, "length", ["Content-Length: 5"]],
  [["Content-Length: 5"], { status: 204, bodiless: true }, "length", []],
  [["Content-Length: 5"], { status: 304, bodiless: true }, "length", ["Content-Length: 5"]],
  [["Trailer: A"], {}, "close", []],
] as const)("an answer with %j, %j is framed by %s", (sent, about, framing, expected) => {
  const given: { status?: number; chunkable?: boolean; bodiless?: boolean } = about;
  const { status = 200, chunkable = true, bodiless = false } = given;
  const head = response(sent, status);
  expect([head?.framing, head && lines(toClient(head, chunkable, bodiless))]).toEqual([framing, expected]);
});

test.each(["cow", "chunked, chunked", "gzip, chunked", "chunked, gzip", "identity", "", "chunked;q=1"])(
  "an answer with Transfer-Encoding: %s cannot be relayed",
  (coding) => {
    expect(response([`Transfer-Encoding: ${coding}`])).toBeUndefined();
  },
);
