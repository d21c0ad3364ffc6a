// What other suites have an upstream send, and what the client here gets of it: llhttp's corpus of responses, and the
// upstreams of nginx-tests (proxy_unfinished, _extra_data, _noclose, _chunked*, _duplicate_headers, _keepalive,
// _connection_headers, _early_hints), Go's httputil, httpxy and @fastify/reply-from. The inputs are our own, by
// behaviour. Where the verdict is not that of the suite, the row says whose it is and why ours differs.

import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import type { TestDaemon } from "../kit/daemon.ts";
import { parseResponse } from "../kit/messages.ts";
import { expectUnharmed, ok, recorded, type Recording } from "../kit/recording.ts";
import { until, within } from "../kit/until.ts";

/** What the upstream sends, what it does then, and what the client asked. */
interface Row {
  sends: string;
  /** How it ends the connection, if it does. */
  ends?: "fin" | "rst";
  method?: string;
  version?: string;
  gets: string;
}
type Rows = Record<string, [sends: string, gets: string, more?: Partial<Row>]>;

/** The error code of an answer of our own. */
const errorOf = (body: string): string => (JSON.parse(body) as { error: { code: string } }).error.code;

/** The client's view: `200 [body]`, `200 [bo] cut`, `502 upstream_bad_response`; interim ones in front. */
async function received(client: RawClient, method: string): Promise<string> {
  let end: string | undefined;
  void client.ended.then((how) => (end = how));
  const seen: string[] = [];
  for (let at = 0; ;) {
    const response = await until(
      () => {
        const over = end !== undefined;
        const whole = parseResponse(client.received().slice(at), method, end === "fin");
        return whole ?? (over ? "cut" : undefined);
      },
      () => `an answer, or its end: ${JSON.stringify(client.received())}`,
    );
    if (response === "cut") {
      const rest = client.received().slice(at);
      const [, status = "nothing"] = /^HTTP\/1\.1 (\d{3})/.exec(rest) ?? [];
      const body = rest.slice(rest.indexOf("\r\n\r\n") + 4);
      return [...seen, `${status} [${/^transfer-enc/im.test(rest) ? dechunked(body) : body}] cut`].join(", ");
    }
    at += response.raw.length;
    const own = response.field("x-single-port-error") !== undefined && method !== "HEAD";
    const { status, body } = response;
    seen.push(own ? `${status} ${errorOf(body)}` : `${status} [${body}]`);
    if (status >= 200) return seen.join(", ");
  }
}

/** The data of the chunks that came, whole or not. */
function dechunked(text: string): string {
  let body = "";
  for (let rest = text; ;) {
    const [line, size = ""] = /^([0-9a-f]+)\r\n/i.exec(rest) ?? [];
    if (line === undefined) return body;
    const length = Number.parseInt(size, 16);
    body += rest.slice(line.length, line.length + length);
    rest = rest.slice(line.length + length + 2);
  }
}

/** Asks for one row; `, kept` behind the outcome says that the upstream's connection was used for the next request. */
async function outcomeOf(row: Row, name: string, daemon: TestDaemon, upstream: Recording): Promise<string> {
  const client = await dial(daemon.port);
  const { method = "GET", version = "1.1" } = row;
  const path = `/${encodeURIComponent(name)}`;
  client.send(head(`${method} ${path} HTTP/${version}`, "Host: a"));
  const got = await received(client, method);
  const peer = await upstream.asked(path);
  await expectUnharmed(daemon, `/next${path}`);
  const next = await upstream.asked(`/next${path}`);
  if (next !== peer) await within(peer.ended, `the upstream's connection of ${name} to be closed`);
  client.reset();
  return next === peer ? `${got}, kept` : got;
}

/** Runs a table against one daemon; all rows that went wrong are in one report. */
async function expectAnswers(table: Rows): Promise<void> {
  const rows = new Map(Object.entries(table).map(([name, [sends, gets, more]]) => [name, { sends, gets, ...more }]));
  const { daemon, upstream } = await recorded(({ target }, peer) => {
    const row: Row | undefined = rows.get(decodeURIComponent(target.slice(1)));
    if (!row) return undefined;
    peer.send(row.sends);
    // In front of a RST only what was read has come for sure.
    if (row.ends === "fin") peer.halfClose();
    if (row.ends === "rst") void daemonHasRead(peer).then(() => peer.reset());
    return "";
  });
  const daemonHasRead = async (peer: RawClient): Promise<void> => {
    await until(() => daemon.unread(peer.socket.localPort ?? 0) === 0, "what was sent to be read");
  };
  const wrong: Record<string, string> = {};
  for (const [name, row] of rows) {
    const outcome = await outcomeOf(row, name, daemon, upstream);
    if (outcome !== row.gets) wrong[name] = `${outcome} instead of ${row.gets}`;
  }
  expect(wrong).toEqual({});
}

const OK = "HTTP/1.1 200 OK\r\n";
const BAD = "502 upstream_bad_response";
const answer = (body: string, ...fields: string[]): string => head("HTTP/1.1 200 OK", ...fields) + body;
const chunked = (body: string): string => answer(body, "Transfer-Encoding: chunked");
const HELLO = "5\r\nhello\r\n0\r\n\r\n";
const FIN = { ends: "fin" } as const;
const HEAD = { method: "HEAD" } as const;

test("connections kept and closed (llhttp: response/connection; nginx: proxy_keepalive)", async () => {
  await expectAnswers({
    "a length": [ok("hello"), "200 [hello], kept"],
    chunks: [chunked(HELLO), "200 [hello], kept"],
    "a hundred chunks": [
      chunked("a\r\n0123456789\r\n".repeat(100) + "0\r\n\r\n"),
      `200 [${"0123456789".repeat(100)}], kept`,
    ],
    "no chunk but the last": [chunked("0\r\n\r\n"), "200 [], kept"],
    "a length of 0": [ok(""), "200 [], kept"],
    // nginx and Go keep these; behind ours nothing follows, as many servers send the body that they announce.
    "HEAD with a length": [answer("", "Content-Length: 26"), "200 []", HEAD],
    "HEAD with chunks": [chunked(""), "200 []", HEAD],
    "HEAD without any": [answer(""), "200 [], kept", HEAD],
    "204": [head("HTTP/1.1 204 No content"), "204 [], kept"],
    "304": [head("HTTP/1.1 304 Not Modified"), "304 [], kept"],
    "304 with a length": [head("HTTP/1.1 304 Not Modified", "Content-Length: 100"), "304 []"],
    "304 with chunks": [head("HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked"), "304 []"],
    "Connection: close": [ok("hello", "Connection: close"), "200 [hello]"],
    "Connection: close, and the upstream closes": [ok("hello", "Connection: close"), "200 [hello]", FIN],
    "Proxy-Connection: close is nobody's": [ok("hello", "Proxy-Connection: close"), "200 [hello], kept"],
    "HTTP/1.0 with a length": [ok("hello").replace("1.1", "1.0"), "200 [hello]"],
    "HTTP/1.0 that is kept": [ok("hello", "Connection: keep-alive").replace("1.1", "1.0"), "200 [hello], kept"],
    "HTTP/1.0 that is kept, 204": [head("HTTP/1.0 204 No content", "Connection: keep-alive"), "204 [], kept"],
    "HTTP/1.0 with keep-alive and no length ends with its connection": [
      head("HTTP/1.0 200 OK", "Connection: keep-alive") + head("HTTP/1.0 200 OK"),
      `200 [${head("HTTP/1.0 200 OK")}]`,
      FIN,
    ],
    "HTTP/1.1 without a length ends with its connection": [answer(OK), `200 [${OK}]`, FIN],
    "Upgrade in a 200 is dropped (nginx passes it)": [
      answer("body", "Connection: upgrade", "Upgrade: h2c", "Content-Length: 4"),
      "200 [body], kept",
    ],
    "the same with chunks": [
      chunked(HELLO).replace("\r\n", "\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"),
      "200 [hello], kept",
    ],
    "the same up to the end of the connection": [
      answer("body", "Connection: upgrade", "Upgrade: h2c"),
      "200 [body]",
      FIN,
    ],
    "a 101 that nobody asked for": [
      head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: h2c"),
      BAD,
    ],
    "the same with a length and a body": [
      `${head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: h2c", "Content-Length: 4")}bodyproto`,
      BAD,
    ],
    "a 101 to WebSocket that nobody asked for": [
      head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"),
      BAD,
    ],
  });
});

test("interim ones (llhttp: 100 and 103 first; nginx: proxy_early_hints; Go: 1xx responses)", async () => {
  const hints = head("HTTP/1.1 103 Early Hints", "Link: </styles.css>; rel=preload; as=style");
  const got = "103 [], 200 [hello], kept";
  await expectAnswers({
    "100, then 404": [
      `HTTP/1.1 100 Continue\r\n\r\n${ok("404: Not").replace("200 OK", "404 Not Found")}`,
      "100 [], 404 [404: Not], kept",
    ],
    "103, then 200": [hints + ok("hello"), got],
    "103 without a reason": [hints.replace("Early Hints", "") + ok("hello"), got],
    "103 twice, and 102": [
      hints + hints + head("HTTP/1.1 102 Processing") + ok("hello"),
      `103 [], 103 [], 102 [], 200 [hello], kept`,
    ],
    // RFC 9110 15.2: a 1xx ends with its head.
    "103 with a length": [hints.replace("\r\n", "\r\nContent-Length: 5\r\n") + ok("hello"), got],
    "103 and nothing behind it": [hints, "103 [], 502 upstream_bad_response", FIN],
    "103 for HTTP/1.0": [hints + ok("hello"), "200 [hello], kept", { version: "1.0" }],
    "199, which nobody knows": [head("HTTP/1.1 199 X") + ok("hello"), "199 [], 200 [hello], kept"],
  });
});

test("bodies that do not fit (nginx: proxy_unfinished, _extra_data, _noclose, _chunked_extra; Go: a copy that fails)", async () => {
  const big = "X".repeat(100_000);
  await expectAnswers({
    "more than the length": [answer("SEE-THIS-BUT-NOT-THIS", "Content-Length: 8"), "200 [SEE-THIS]"],
    "a length of 0, and a body": [answer("NOT-THIS", "Content-Length: 0"), "200 []"],
    "a second answer behind the first": [ok("AAA") + ok("BBBB") + ok("CCCCC"), "200 [AAA]"],
    "something behind the last chunk": [chunked(`${HELLO}${HELLO}`), "200 [hello]"],
    "less than the length": [answer("unfinished", "Content-Length: 100"), "200 [unfinished] cut", FIN],
    "nothing of the length": [answer("", "Content-Length: 100"), "200 [] cut", FIN],
    "less than the length, for HTTP/1.0": [
      answer("unfinished", "Content-Length: 100"),
      "200 [unfinished] cut",
      { ...FIN, version: "1.0" },
    ],
    "less than the length, and a reset": [
      answer("unfinished", "Content-Length: 100"),
      "200 [unfinished] cut",
      { ends: "rst" },
    ],
    "much, and less than the length": [answer(big, "Content-Length: 100100"), `200 [${big}] cut`, FIN],
    "a chunk cut short": [chunked("ff\r\nunfinished"), "200 [unfinished] cut", FIN],
    "no last chunk": [chunked("5\r\nhello\r\n"), "200 [hello] cut", FIN],
    "no empty line behind the last chunk": [chunked("5\r\nhello\r\n0\r\n"), "200 [hello] cut", FIN],
    "a chunk cut short, for HTTP/1.0": [
      chunked("ff\r\nunfinished"),
      "200 [unfinished] cut",
      { ...FIN, version: "1.0" },
    ],
    "up to the end of the connection": [answer("hello"), "200 [hello]", FIN],
    "up to the end of the connection, which is a reset": [answer("hello"), "200 [hello] cut", { ends: "rst" }],
    "the whole length, and the connection stays": [
      answer("SEE-THIS", "Content-Length: 8", "Connection: close"),
      "200 [SEE-THIS]",
    ],
    "the body of an answer to HEAD": [ok("SEE-THIS"), "200 []", HEAD],
    "less than that": [answer("SEE", "Content-Length: 100"), "200 []", HEAD],
    "none of it, and the connection ends": [answer("", "Content-Length: 100"), "200 []", { ...HEAD, ...FIN }],
    "204 with a body": [`${head("HTTP/1.1 204 No content")}NOT-THIS`, "204 []"],
    "304 with a body": [`${head("HTTP/1.1 304 Not Modified", "Content-Length: 8")}NOT-THIS`, "304 []"],
    "an answer in two pieces of a head and no more": [`${OK}Content-Le`, BAD, FIN],
  });
});

test("lengths and codings (llhttp: response/content-length, transfer-encoding; nginx: proxy_duplicate_headers)", async () => {
  const extended = (first: string, last = "0"): string => chunked(`${first}\r\nhello\r\n${last}\r\n\r\n`);
  await expectAnswers({
    "a length that is none": [answer("", "Content-Length: foo"), BAD],
    "a length twice": [answer("", "Content-Length: 0", "Content-Length: 0"), BAD],
    "two lengths": [answer("hello", "Content-Length: 4", "Content-Length: 5"), BAD],
    "an empty length": [answer("", "Content-Length:"), BAD],
    "a length below 0": [answer("hello", "Content-Length: -5"), BAD],
    "tabs around a length": [answer("hello", "Content-Length:\t5\t"), "200 [hello], kept"],
    "a field that only begins so": [
      answer(HELLO, "Content-Length-X: 0", "Transfer-Encoding: chunked"),
      "200 [hello], kept",
    ],
    "a coding nobody knows": [answer(HELLO, "Transfer-Encoding: foo"), BAD],
    "chunked twice, in two fields": [answer(HELLO, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), BAD],
    "chunked, deflate": [answer("World", "Transfer-Encoding: chunked, deflate"), BAD, FIN],
    "chunked, and identity in a field of its own": [
      answer("World", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
      BAD,
      FIN,
    ],
    chunkedchunked: [answer(HELLO, "Transfer-Encoding: chunkedchunked"), BAD],
    "a length, then chunked": [answer(HELLO, "Content-Length: 0", "Transfer-Encoding: chunked"), BAD],
    "chunked, then a length": [answer(HELLO, "Transfer-Encoding: chunked", "Content-Length: 0"), BAD],
    "a fold behind chunked": [answer(HELLO, "Transfer-Encoding: chunked\r\n  abc"), BAD],
    // Servers pad them (llhttp takes it only when told to be lenient; nginx and Go take it).
    "blanks behind the sizes": [extended("5  ", "0  "), "200 [hello], kept"],
    extensions: [extended("5;ilovew3;somuchlove=aretheseparametersfor"), "200 [hello], kept"],
    "quoted extensions": [extended('5;a="I love; extensions";b="c";d;e=f'), "200 [hello], kept"],
    // They are read over up to the end of the line; llhttp reads them, and refuses these two.
    "a quotation that does not end": [extended('5;a="abc";b="def; ghi'), "200 [hello], kept"],
    "a semicolon without an extension": [extended("5;"), "200 [hello], kept"],
    "an extension without a semicolon": [extended("5 erfrferferf"), "200 [] cut"],
    "a coding by HTTP/1.0": [chunked(HELLO).replace("1.1", "1.0"), "200 [hello]"],
    "Expires twice, both passed (nginx drops the second)": [ok("", "Expires: foo", "Expires: bar"), "200 [], kept"],
  });
});

test("heads that are none, or nearly (llhttp: response/invalid, sample, lenient-*; httpxy: invalid headers)", async () => {
  const line = (text: string): string => `${text}\r\nContent-Length: 5\r\n\r\nhello`;
  const HEARD = "200 [hello], kept";
  await expectAnswers({
    HTP: [line("HTP/1.1 200 OK"), BAD],
    RTSP: [line("RTSP/1.1 200 OK"), BAD],
    ICE: [line("ICE/1.1 200 OK"), BAD],
    HTTPER: [line("HTTPER/1.1 200 OK"), BAD],
    "HTTP/01.1": [line("HTTP/01.1 200 OK"), BAD],
    "HTTP/11.1": [line("HTTP/11.1 200 OK"), BAD],
    "HTTP/1.01": [line("HTTP/1.01 200 OK"), BAD],
    "HTTP/5.6": [line("HTTP/5.6 200 OK"), BAD],
    // llhttp takes it. No server of today says so, and nobody can say how its body ends.
    "HTTP/0.9": [line("HTTP/0.9 200 OK"), BAD],
    "no HTTP at all (nginx passes it to a client as HTTP/0.9)": ["hello\r\n", BAD],
    "a tab behind the version": [line("HTTP/1.1\t200 OK"), BAD],
    "a CR in front": [`\r${line("HTTP/1.1 200 OK")}`, BAD],
    "two spaces behind the version": [line("HTTP/1.1  200 OK"), BAD],
    "two spaces behind the status": [line("HTTP/1.1 200  OK"), HEARD],
    "a status of one digit": [line("HTTP/1.1 2 OK"), BAD],
    "a status of four": [line("HTTP/1.1 2000 OK"), BAD],
    "a status of 0": [line("HTTP/1.1 000 OK"), BAD],
    "no reason": [line("HTTP/1.1 200"), HEARD],
    "an empty reason": [line("HTTP/1.1 200 "), HEARD],
    "a reason in UTF-8": [line("HTTP/1.1 200 Ori\xc3\xabntatieprobleem"), HEARD],
    "a status that nobody knows": [line("HTTP/1.1 999 Own"), "999 [hello], kept"],
    "an empty line in front": [`\r\n${line("HTTP/1.1 200 OK")}`, HEARD],
    "fields separated by CR": [`${OK}Foo: 1\rBar: 2\r\n\r\n`, BAD],
    "a CR behind the status line": ["HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n", BAD],
    "two of them": ["HTTP/1.1 200 OK\r\rContent-Length: 4\r\n\r\nEvil", BAD],
    "a space in front of the first field": [`${OK} Host: foo\r\nContent-Length: 0\r\n\r\n`, BAD],
    // nginx and Go take it; llhttp, and so Node's own client, does not. A bare LF is where readers of one message part.
    "lines ended by LF alone": ["HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", BAD],
    "the same without a length": ["HTTP/1.1 200 OK\nFoo: abc\n\nBODY\n", BAD, FIN],
    "an underscore in a name": [ok("hello", "DCLK_imp: v7;x;114750856"), HEARD],
    "a $ in a name": [ok("hello", "X-$PrototypeBI-Version: 1.6.0.3"), HEARD],
    "a space within a name": [ok("hello", "en-US Content-Type: text/xml"), BAD],
    "no name (httpxy leaves it out)": [ok("hello", ": nameless"), BAD],
    "no colon": [ok("hello", "nonsense"), BAD],
    "a control byte in a value (httpxy leaves it out)": [ok("hello", "X: a\x01b"), BAD],
    "an empty value does not swallow the next field": [ok("hello", "Pragma: ", "X: b"), HEARD],
    "a folded value (RFC 9112 5.2; llhttp refuses it)": [ok("hello", "X: a\r\n b"), HEARD],
    "a space in front of the colon (RFC 9112 5.1; llhttp refuses it)": [ok("hello", "X : a"), HEARD],
    "an upstream that closes without a word (three attempts)": ["", "502 upstream_reset", FIN],
  });
});
