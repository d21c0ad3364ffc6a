import { expect, test } from "vitest";
import { ResponseParser } from "../../src/http/response-parser.ts";

/** What a parser said, as one line for each event; pieces of a body are joined. */
interface Heard {
  lines: string[];
  body: string;
  accepted: boolean;
  complete: boolean;
  reusable: boolean;
}

/** Feeds the bytes in pieces of at most `size`, then closes if asked to. */
function read(text: string, options: { method?: string; size?: number; max?: number; close?: boolean } = {}): Heard {
  const { method = "GET", size = Infinity, max = 200, close = false } = options;
  const heard: Heard = { lines: [], body: "", accepted: true, complete: false, reusable: false };
  const parser = new ResponseParser(
    {
      onInterim: ({ status, fields }) => heard.lines.push(`${status} ${fields.join()}`),
      onHead: ({ status, reason, fields }) => heard.lines.push(`${status} ${reason} ${fields.join()}`),
      onBody: (piece) => (heard.body += piece.toString("latin1")),
      onComplete: (last, trailers) => {
        heard.body += last?.toString("latin1") ?? "";
        heard.lines.push(`end ${trailers.join()}`);
      },
      onSwitched: ({ fields }, early) => heard.lines.push(`switched ${fields.join()} ${early.toString("latin1")}`),
    },
    method,
    max,
  );
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length && heard.accepted; at += size) {
    heard.accepted = parser.push(bytes.subarray(at, at + size));
  }
  if (close) parser.finish();
  heard.complete = parser.complete;
  heard.reusable = parser.isReusable;
  return heard;
}

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

const whole: [string, string, { method?: string; close?: boolean }, Partial<Heard>][] = [
  ["a length", `${OK}A: b\r\nContent-Length: 5\r\n\r\nhello`, {}, { lines: ["200 OK A,b", "end "], body: "hello" }],
  ["no body", `${OK}Content-Length: 0\r\n\r\n`, {}, { lines: ["200 OK ", "end "] }],
  ["an answer to HEAD", `${OK}Content-Length: 0\r\n\r\n`, { method: "HEAD" }, { lines: ["200 OK ", "end "] }],
  [
    "space in front of a colon",
    `${OK}X-A : b\r\nContent-Length\t: 1\r\n\r\nx`,
    {},
    { lines: ["200 OK X-A,b", "end "], body: "x" },
  ],
  ["blanks behind a size", `${CHUNKED}1 \t \r\nx\r\n0  \r\n\r\n`, {}, { lines: ["200 OK ", "end "], body: "x" }],
  ["blanks around a ;", `${CHUNKED}1 ; a = b ;c\r\nx\r\n0;\r\n\r\n`, {}, { lines: ["200 OK ", "end "], body: "x" }],
  [
    "bytes of UTF-8",
    `${OK}A: voil\xc3\xa0\r\nContent-Length: 0\r\n\r\n`,
    {},
    { lines: ["200 OK A,voil\xc3\xa0", "end "] },
  ],
  ["folds", `${OK}A:\r\n\t b\r\n \r\n c \r\nContent-Length:0\r\n\r\n`, {}, { lines: ["200 OK A,b c", "end "] }],
  [
    "empty lines in front",
    `\r\nHTTP/1.1 100 Continue\r\n\r\n\r\n\r\n${OK}Content-Length: 1\r\n\r\nx`,
    {},
    { lines: ["100 ", "200 OK ", "end "], body: "x" },
  ],
  ["304", "HTTP/1.1 304 \r\n\r\n", {}, { lines: ["304  ", "end "] }],
  ["204 without a reason", "HTTP/1.1 204\r\n\r\n", {}, { lines: ["204  ", "end "] }],
  ["chunks", `${CHUNKED}5\r\nhello\r\n0B;x="y"\r\n, my world\n\r\n0\r\n\r\n`, {}, { body: "hello, my world\n" }],
  ["trailers", `${CHUNKED}1\r\nx\r\n0\r\nA: b\r\nC:d \r\n\r\n`, {}, { lines: ["200 OK ", "end A,b,C,d"], body: "x" }],
  ["a close", `${OK}\r\nhello`, { close: true }, { body: "hello", reusable: false }],
  ["a fold", `${OK}A: b\r\n  c\r\nContent-Length:0\r\n\r\n`, {}, { lines: ["200 OK A,b c", "end "] }],
  [
    "interim ones",
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n${OK}Content-Length: 1\r\n\r\nx`,
    {},
    { lines: ["100 ", "103 Link,a", "200 OK ", "end "], body: "x" },
  ],
];

test.each(whole)("%s is the same however its bytes are cut", (_, text, options, expected) => {
  for (const size of [Infinity, 1, 2, 3, 5, 7, 11]) {
    expect(read(text, { ...options, size })).toMatchObject({
      accepted: true,
      complete: true,
      reusable: true,
      ...expected,
    });
  }
});

test("what follows a 101 is not read", () => {
  const text = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nA: b\r\n\r\nHTTP/1.1";
  expect(read(text)).toMatchObject({ accepted: true, complete: false, lines: ["switched A,b HTTP/1.1"] });
});

test.each([
  ["a length", `${OK}Content-Length: 5\r\n\r\nhell`],
  ["a chunk", `${CHUNKED}5\r\nhell`],
  ["the last chunk", `${CHUNKED}5\r\nhello\r\n0\r\n`],
  ["a head", `${OK}A: b\r\n`],
  ["trailers", `${CHUNKED}0\r\nA: b\r\n`],
])("cut off in %s it is not complete, and a close does not make it so", (_, text) => {
  for (const size of [Infinity, 1]) expect(read(text, { size, close: true })).toMatchObject({ complete: false });
});

test.each([
  ["Connection: close", `${OK}Connection: Close\r\nContent-Length: 0\r\n\r\n`],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n"],
  ["a body announced on 204", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"],
  ["a body announced on 304", "HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["more bytes behind it", `${OK}Content-Length: 1\r\n\r\nxH`],
])("with %s nothing follows on its connection", (_, text) => {
  expect(read(text)).toMatchObject({ accepted: true, complete: true, reusable: false });
  expect(read(text, { size: 1 })).toMatchObject({ accepted: true, complete: true, reusable: false });
});

test("HTTP/1.0 with keep-alive can be used again", () => {
  const text = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
  expect(read(text)).toMatchObject({ complete: true, reusable: true });
});

test.each([
  "HTTP/2.0 200 OK\r\n\r\n",
  "HTTP/1.1 099 X\r\n\r\n",
  "HTTP/1.1 20 X\r\n\r\n",
  "HTTP/1.1  200 OK\r\n\r\n",
  "HTTP/1.1 200OK\r\n\r\n",
  "\nHTTP/1.1 200 OK\r\n\r\n",
  "\r\rHTTP/1.1 200 OK\r\n\r\n",
  `${"\r\n".repeat(33)}${OK}\r\n`,
  "ICY",
  `${OK}A\xa0: b\r\n\r\n`,
  `${OK} : b\r\n\r\n`,
  `${OK}\t: b\r\n\r\n`,
  `${OK}A: c\r\nB b : c\r\n\r\n`,
  `${OK}Content-Length: 2\xa0\r\n\r\n`,
  `${OK}Transfer-Encoding: chunked\xa0\r\n\r\n`,
  `${OK} A: b\r\n\r\n`,
  `${OK}A b\r\n\r\n`,
  `${OK}: b\r\n\r\n`,
  `${OK}A: b\n\r\n`,
  `${OK}A: b\rc: d\r\n\r\n`,
  `${OK}A: b\r\r\n\r\n`,
  `${OK}A: \0\r\n\r\n`,
  `${OK}Content-Length: +5\r\n\r\n`,
  `${OK}Content-Length: 5, 5\r\n\r\n`,
  `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\n`,
  `${OK}Content-Length: 9999999999999999\r\n\r\n`,
  `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
  `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`,
  `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  `${CHUNKED}\r\n`,
  `${CHUNKED}x\r\n`,
  `${CHUNKED} 5\r\nhello`,
  `${CHUNKED}5 5\r\nhello`,
  `${CHUNKED}5\xa0\r\nhello`,
  `${CHUNKED}5 \nhello`,
  `${CHUNKED}5${" ".repeat(16 * 1024 + 1)}`,
  `${CHUNKED}5\nhello`,
  `${CHUNKED}5;a\nb\r\n`,
  `${CHUNKED}5\r\nhello0\r\n\r\n`,
  `${CHUNKED}5\r\nhello\n`,
  `${CHUNKED}1000000000000\r\n`,
  `${CHUNKED}-1\r\n`,
  `${CHUNKED}0\r\nA b\r\n\r\n`,
  `${CHUNKED}0\r\n b\r\n\r\n`,
  `${CHUNKED}0\r\nA: \n\r\n\r\n`,
  `${CHUNKED}5;${"x".repeat(16 * 1024 + 1)}`,
  `${OK}A: ${"b".repeat(200)}`,
  `${CHUNKED}0\r\nA: ${"b".repeat(200)}`,
])("%j is no response", (text) => {
  for (const size of [Infinity, 1, 4]) expect(read(text, { size })).toMatchObject({ accepted: false, complete: false });
});

test("nonsense is known at the first byte that cannot be part of a head", () => {
  for (const text of ["S", "HTTP/2", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r\nA: \x01"]) {
    expect(read(text).accepted).toBe(false);
    expect(read(text.slice(0, -1), { size: 1 }).accepted).toBe(true);
  }
});

test("whoever stops it hears no more", () => {
  const heard: string[] = [];
  const parser = new ResponseParser(
    {
      onInterim: () => {},
      onHead: () => {
        heard.push("head");
        parser.stop();
      },
      onBody: () => heard.push("body"),
      onComplete: () => heard.push("end"),
      onSwitched: () => {},
    },
    "GET",
    200,
  );
  expect(parser.push(Buffer.from(`${OK}Content-Length: 1\r\n\r\nx`))).toBe(true);
  expect(heard).toEqual(["head"]);
});

test.each([
  ["head", `${OK}A: ${"b".repeat(512 * 1024)}\r\nContent-Length: 0\r\n\r\n`],
  ["head of folds", `${OK}A: b\r\n${" b\r\n".repeat(128 * 1024)}Content-Length: 0\r\n\r\n`],
  ["trailer of folds", `${CHUNKED}0\r\nA: b\r\n${" b\r\n".repeat(128 * 1024)}\r\n`],
  ["trailer", `${CHUNKED}0\r\nA: ${"b".repeat(512 * 1024)}\r\n\r\n`],
])("a %s that comes byte by byte costs each byte once", (_, text) => {
  // Looked at anew for each byte it would take minutes.
  expect(read(text, { size: 1, max: Infinity })).toMatchObject({ accepted: true, complete: true });
});

/** Milliseconds of processor time, the least of three. */
function cost(text: string): number {
  const times = [1, 2, 3].map(() => {
    const before = process.cpuUsage();
    read(text, { max: Infinity });
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

test.each([
  ["folds", " b\r\n"],
  ["folds of nothing", " \r\n"],
  ["fields", "a: b\r\n"],
  ["fields of blanks", `a: ${" ".repeat(50)}\r\n`],
  ["blanks in front of colons", `a${" ".repeat(50)}:b\r\n`],
  ["connection options", "Connection: a\r\n"],
  ["keep-alive parameters", "Keep-Alive: timeout timeout\r\n"],
  ["codings", "Upgrade: a\r\n"],
])("what a head of a megabyte may cost: %s", (_, line) => {
  const of = (bytes: number): string => `${OK}A: b\r\n${line.repeat(bytes / line.length)}Content-Length: 0\r\n\r\n`;
  // Ten times of what it takes here, and a hundredth of what one of quadratic cost took.
  expect(cost(of(1024 * 1024))).toBeLessThan(1500);
});
