// Request smuggling by framing: every doubtful way to say where a message ends, each against a fresh connection.

import { test } from "vitest";
import { head } from "../kit/client.ts";
import { expectRows, HELLO, post, SERVED } from "../kit/verdicts.ts";

test("a Transfer-Encoding is chunked, or refused", async () => {
  const served = ["chunked", " \tchunked", "chunked ", "CHUNKED", ",chunked", ", ,chunked"];
  const refused = [
    ["xchunked", "chunkedx", "cow", "identity", "", ",", "chunked,", '"chunked"', "chunked;q=1", "chunked chunked"],
    ["chunked, identity", "identity, chunked", "chunked, chunked", "gzip, chunked", "chunked, gzip", "chunke\xc4\xb1d"],
    [
      "\x0bchunked",
      "\x0cchunked",
      "\0chunked",
      "chunked\0",
      "chunked\r",
      "\r\n chunked",
      "x\r\n chunked",
      "\xa0chunked",
      "chunked\xa0",
      "chunked \xa0,",
    ],
    [
      "chunked\r\nTransfer-Encoding: chunked",
      "chunked\r\nTransfer-Encoding: identity",
      "chunked\r\nTransfer-Encoding:",
    ],
    ["identity\r\nTransfer-Encoding: chunked", "\r\nTransfer-Encoding: chunked", "chunked\r\ntransfer-encoding: gzip"],
  ].flat();
  await expectRows({
    // llhttp before 9.4 refuses a tab behind the value.
    "chunked and a tab": [post(HELLO, "Transfer-Encoding: chunked\t"), SERVED, "400"],
    ...Object.fromEntries(served.map((value) => [value, [post(HELLO, `Transfer-Encoding: ${value}`), SERVED]])),
    ...Object.fromEntries(refused.map((value) => [value, [post(HELLO, `Transfer-Encoding: ${value}`), "400"]])),
  });
});

test("a Content-Length beside any Transfer-Encoding is refused", async () => {
  const values = ["chunked", "xchunked", "identity", "", ",chunked", "chunked, identity", "CHUNKED", "\tchunked", "x"];
  const evil = head("GET /evil HTTP/1.1", "Host: a");
  await expectRows({
    ...Object.fromEntries(
      values.flatMap((value) => [
        [`TE ${value}, CL`, [post(HELLO, `Transfer-Encoding: ${value}`, "Content-Length: 15"), "400"]],
        [`CL, TE ${value}`, [post(HELLO, "Content-Length: 15", `Transfer-Encoding: ${value}`), "400"]],
      ]),
    ),
    "CL.TE": [post(`0\r\n\r\n${evil}`, `Content-Length: ${evil.length + 5}`, "Transfer-Encoding: chunked"), "400"],
    "TE.CL": [
      post(`${evil.length.toString(16)}\r\n${evil}\r\n0\r\n\r\n`, "Transfer-Encoding: chunked", "Content-Length: 4"),
      "400",
    ],
    "TE.0": [head("OPTIONS /x HTTP/1.1", "Host: a", "Content-Length: 0", "Transfer-Encoding: chunked") + HELLO, "400"],
  });
});

test("a Content-Length is one row of digits, or refused", async () => {
  const rows: Record<string, [string, ...string[]]> = {};
  for (const value of ["5", " 5", "5 ", "\t5", "05", "5\t"]) {
    // llhttp before 9.4 refuses a tab behind the digits.
    rows[value] = [post("hello", `Content-Length: ${value}`), SERVED, ...(value === "5\t" ? ["400"] : [])];
  }
  const refused = [
    ["5, 5", "5,6", "5,", ",5", "+5", "-5", "0x5", "5.0", "5e0", "5;", "5 5", "", "five", "\xd9\xa5", "5\0", "\x0b5"],
    ["99999999999999999999999999", "18446744073709551621", "1\r\n 0", "\r\n 5", "5\r", "-0"],
    ["5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "0\r\ncontent-length: 5", "5\r\nContent-Length:"],
  ].flat();
  for (const value of refused) rows[value] = [post("hello", `Content-Length: ${value}`), "400"];
  await expectRows(rows);
});

test("a framing field is one by its exact name, or the request is refused", async () => {
  await expectRows({
    "space before the colon": [post(HELLO, "Transfer-Encoding : chunked"), "400"],
    "tab before the colon": [post(HELLO, "Transfer-Encoding\t: chunked"), "400"],
    "space before the colon of a length": [post("hello", "Content-Length : 5"), "400"],
    "space before the name": [post(HELLO, " Transfer-Encoding: chunked"), "400"],
    "folded behind another field": [post(HELLO, "X: y\r\n Transfer-Encoding: chunked"), "400"],
    "folded with a tab": [post(HELLO, "X: y\r\n\tTransfer-Encoding: chunked"), "400"],
    "behind a bare CR": [post(HELLO, "X: y\rTransfer-Encoding: chunked"), "400"],
    "behind a bare LF": [post(HELLO, "X: y\nTransfer-Encoding: chunked"), "400"],
    "behind a NUL": [post(HELLO, "X: y\0Transfer-Encoding: chunked"), "400"],
    "NUL in the name": [post(HELLO, "Transfer\0-Encoding: chunked"), "400"],
    "control byte in the name": [post(HELLO, "Transfer-Encoding\x01: chunked"), "400"],
    "high byte in the name": [post(HELLO, "\xffTransfer-Encoding: chunked"), "400"],
    "underscore beside a length": [
      post(HELLO, "Transfer_Encoding: chunked", "Content-Length: 15"),
      `POST /x [${HELLO}], GET /last []`,
    ],
    "any case": [post(HELLO, "tRANSFER-eNCODING: chunked"), SERVED],
  });
});

test("chunks are hexadecimal sizes, CRLF and exactly so many bytes, or the request is refused", async () => {
  const te = "Transfer-Encoding: chunked";
  const refused: Record<string, string> = {
    "size with 0x": "0x5\r\nhello\r\n0\r\n\r\n",
    "size with +": "+5\r\nhello\r\n0\r\n\r\n",
    "size with -": "-5\r\nhello\r\n0\r\n\r\n",
    "size with a space before": " 5\r\nhello\r\n0\r\n\r\n",
    "size with a space behind": "5 \r\nhello\r\n0\r\n\r\n",
    "size with a comma": "5,5\r\nhello\r\n0\r\n\r\n",
    "size that overflows 64 bits": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no size": "\r\nhello\r\n0\r\n\r\n",
    "size ended by LF": "5\nhello\r\n0\r\n\r\n",
    "size ended by CR": "5\rhello\r\n0\r\n\r\n",
    "data ended by LF": "5\r\nhello\n0\r\n\r\n",
    "data ended by CR": "5\r\nhello\r0\r\n\r\n",
    "data not ended": "5\r\nhello0\r\n\r\n",
    "data longer than its size": "5\r\nhelloxx0\r\n\r\n",
    "two bytes of data where CRLF belongs": "5\r\nhelloGE0\r\n\r\n",
    "last chunk ended by LF": "5\r\nhello\r\n0\n\n",
    "empty line ended by LF": "5\r\nhello\r\n0\r\n\n",
    "extension ended by LF": "5;a\nhello\r\n0\r\n\r\n",
    "extension with a quoted CRLF": '5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    "extension with a control byte": "5;a\x01\r\nhello\r\n0\r\n\r\n",
    "extension behind a space": "5 ;a=b\r\nhello\r\n0\r\n\r\n",
    "trailer with a bare LF": "5\r\nhello\r\n0\r\nX: a\n\r\n",
    "trailer folded": "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "trailer with a space before the colon": "5\r\nhello\r\n0\r\nX : a\r\n\r\n",
    "trailer with a length": "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n",
    "trailer with a coding": "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
  };
  await expectRows({
    ...Object.fromEntries(Object.entries(refused).map(([name, body]) => [name, [post(body, te), "400"]])),
    "huge extension": [post(`5;${"a".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`, te), "431"],
    "huge extension, later": [post(`2\r\nhe\r\n3;${"a".repeat(20_000)}\r\nllo\r\n0\r\n\r\n`, te), "431"],
    "leading zeros": [post("0000000000000000000000000000005\r\nhello\r\n000\r\n\r\n", te), SERVED],
    extensions: [post('5;a;b=c;d="e"\r\nhello\r\n0;x\r\n\r\n', te), SERVED],
    "many chunks": [post("1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n", te), SERVED],
    "upper case": [post(`A\r\n${"x".repeat(10)}\r\n0\r\n\r\n`, te), `POST /x [${"x".repeat(10)}], GET /last []`],
  });
});

test("lines end with CRLF, and what stands in them is text, or the request is refused", async () => {
  const get = (rest: string): string => `GET /x HTTP/1.1\r\n${rest}`;
  const refused: Record<string, string> = {
    "LF everywhere": "GET /x HTTP/1.1\nHost: a\n\n",
    "LF behind the request line": "GET /x HTTP/1.1\nHost: a\r\n\r\n",
    "LF behind a field": get("Host: a\nX: b\r\n\r\n"),
    "LF as the empty line": get("Host: a\r\n\n"),
    "LF and CRLF": get("Host: a\n\r\n"),
    "CR behind a field": get("Host: a\rX: b\r\n\r\n"),
    "CR in a value": get("Host: a\r\nX: a\rb\r\n\r\n"),
    "CR before a name": get("Host: a\r\n\rX: b\r\n\r\n"),
    "folded line": get("Host: a\r\nX: a\r\n b\r\n\r\n"),
    "space before the first field": get(" Host: a\r\nHost: a\r\n\r\n"),
    "NUL in a name": get("Host: a\r\nX\0: a\r\n\r\n"),
    "NUL in a value": get("Host: a\r\nX: a\0b\r\n\r\n"),
    "control byte in a value": get("Host: a\r\nX: a\x01b\r\n\r\n"),
    "DEL in a value": get("Host: a\r\nX: a\x7fb\r\n\r\n"),
    "space in a name": get("Host: a\r\nX y: a\r\n\r\n"),
    "no colon": get("Host: a\r\nX\r\n\r\n"),
    "no name": get("Host: a\r\n: x\r\n\r\n"),
    "NUL in the target": "GET /x\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "control byte in the target": "GET /x\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "high byte in the target": "GET /x\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the target": "GET /x y HTTP/1.1\r\nHost: a\r\n\r\n",
    "no target": "GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": "GET /x\r\nHost: a\r\n\r\n",
    "HTTP/0.9": "GET /x\r\n\r\n",
    "HTTP/1.2": "GET /x HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": "GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower-case method": "get /x HTTP/1.1\r\nHost: a\r\n\r\n",
    TLS: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  };
  const served: Record<string, string> = {
    "high bytes in a value": get("Host: a\r\nX: \xe9\xff\r\n\r\n"),
    "tab in a value": get("Host: a\r\nX: a\tb\r\n\r\n"),
    "empty value": get("Host: a\r\nX:\r\n\r\n"),
    "empty lines before": `\r\n\r\n${get("Host: a\r\n\r\n")}`,
  };
  await expectRows({
    ...Object.fromEntries(Object.entries(refused).map(([name, bytes]) => [name, [bytes, "400"]])),
    ...Object.fromEntries(Object.entries(served).map(([name, bytes]) => [name, [bytes, "GET /x [], GET /last []"]])),
  });
});

test("HTTP/1.0 ends where it says, and with chunks it is the last of its connection", async () => {
  const old = (body: string, ...fields: string[]): string =>
    head("POST /x HTTP/1.0", "Host: a", "Connection: keep-alive", ...fields) + body;
  await expectRows({
    length: [old("hello", "Content-Length: 5"), SERVED],
    chunks: [old(HELLO, "Transfer-Encoding: chunked"), "POST /x [hello]"],
    both: [old(HELLO, "Transfer-Encoding: chunked", "Content-Length: 15"), "400"],
    upgrade: [head("GET /x HTTP/1.0", "Host: a", "Connection: Upgrade", "Upgrade: websocket"), "GET /x []"],
    "no host": [head("GET /x HTTP/1.0"), "GET /x []"],
  });
});
