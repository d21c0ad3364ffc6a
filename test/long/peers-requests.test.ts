// What other suites send as a client, and what becomes of it here: llhttp's corpus of requests, with the requests of
// Go's httputil, nginx-tests, httpxy and @fastify/reply-from. The inputs are our own, by behaviour. Where the verdict
// is not that of the suite, the row says whose it is and why ours differs.

import { test } from "vitest";
import { head, upgrade } from "../kit/client.ts";
import { expectRows, HELLO, post, SERVED } from "../kit/verdicts.ts";

const get = (...fields: string[]): string => head("GET /x HTTP/1.1", "Host: a", ...fields);
const put = (body: string, ...fields: string[]): string => head("PUT /x HTTP/1.1", "Host: a", ...fields) + body;
/** A request line alone, with a Host behind it. */
const line = (text: string): string => head(text, "Host: a");
const CHUNKED = "Transfer-Encoding: chunked";
const GOT = "GET /x [], GET /last []";

test("connections: kept, closed and upgraded (llhttp: request/connection, pipelining; nginx: http_keepalive)", async () => {
  await expectRows({
    "kept by itself in HTTP/1.1": [get(), GOT],
    "kept, because it says so": [put("", "Connection: keep-alive", "Content-Length: 0"), "PUT /x [], GET /last []"],
    "closed by itself in HTTP/1.0": [head("GET /x HTTP/1.0", "Host: a"), "GET /x []"],
    "HTTP/1.0 that asks to be kept": [head("GET /x HTTP/1.0", "Host: a", "Connection: keep-alive"), GOT],
    "an empty line between two requests": [`${post("q=42", "Content-Length: 4")}\r\n`, "POST /x [q=42], GET /last []"],
    "closed, because it says so": [post("q=42", "Content-Length: 4", "Connection: close"), "POST /x [q=42]"],
    "close in another case": [get("Connection: CLOSE"), "GET /x []"],
    "close beside keep-alive and others": [get("Connection: close, token, upgrade, token, keep-alive"), "GET /x []"],
    "two Connection fields": [get("Connection: keep-alive", "Connection: close"), "GET /x []"],
    // As llhttp reads it; nginx and Go do not look at it. It does no harm, and the answer says `Connection: close`.
    "Proxy-Connection: close": [get("Proxy-Connection: close"), "GET /x []"],
    "a CR where a hyphen belongs": [get("Connection: keep\ralive"), "400"],
    "options folded over two lines (llhttp takes them only when it is told to be lenient)": [
      get("Connection: something,\r\n upgrade, ,keep-alive", "Upgrade: websocket"),
      "400",
    ],
    "a space in front of the colon": [put("body", "Connection : upgrade", "Content-Length: 4", "Upgrade: ws"), "400"],
    // The upgrade is ignored, as a server may (RFC 9110 7.8). llhttp stops there; of some versions of Node we cannot
    // have what follows, and then the answer says that it closes the connection.
    "an upgrade to another protocol": [get("Connection: upgrade", "Upgrade: ws"), GOT, "GET /x []"],
    "the same with a body": [
      post("hello", "Connection: upgrade", "Upgrade: ws", "Content-Length: 5"),
      SERVED,
      "POST /x [hello]",
    ],
    "an upgrade to HTTP/2 with a body": [
      post("hello", "Connection: Upgrade", "Upgrade: HTTP/2.0", "Content-Length: 5"),
      SERVED,
      "POST /x [hello]",
    ],
    "Upgrade without Connection": [get("Upgrade: websocket"), GOT],
    "Connection without Upgrade": [get("Connection: upgrade"), GOT],
    "a WebSocket whose server says no: what stands behind it is no request": [upgrade("/x"), "GET /x []"],
    "a WebSocket by POST is an ordinary POST (httpxy drops its connection)": [
      post("", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0"),
      "POST /x [], GET /last []",
      "POST /x []",
    ],
    "three requests in one packet": [
      post("AAA", "Content-Length: 3") + put("BBBB", "Content-Length: 4") + get(),
      "POST /x [AAA], PUT /x [BBBB], GET /x [], GET /last []",
    ],
    "two in chunks in one packet": [
      post(HELLO, CHUNKED) + put(HELLO, CHUNKED),
      `POST /x [hello], PUT /x [hello], GET /last []`,
    ],
  });
});

test("lengths (llhttp: request/content-length; nginx: http_headers_multi)", async () => {
  await expectRows({
    "leading zeros": [post("abc", "Content-Length: 003"), "POST /x [abc], GET /last []"],
    "other fields behind it": [post("abc", "Content-Length: 3", "Ohai: world"), "POST /x [abc], GET /last []"],
    "more than 64 bits": [post("", "Content-Length: 1000000000000000000000"), "400"],
    "two that differ": [post("ab", "Content-Length: 1", "Content-Length: 2"), "400"],
    "two that do not": [post("a", "Content-Length: 1", "Content-Length: 1"), "400"],
    "beside Transfer-Encoding: identity": [post("a", "Content-Length: 1", "Transfer-Encoding: identity"), "400"],
    "beside three empty Transfer-Encodings": [
      post(HELLO, "Content-Length: 10", "Transfer-Encoding:", "Transfer-Encoding:", "Transfer-Encoding:"),
      "400",
    ],
    "a space in front of the colon": [put("body", "Content-Length : 4"), "400"],
    "on GET, in any case, by HTTP/1.0": [
      `${head("GET /x HTTP/1.0", "Host: a", "conTENT-Length: 5")}HELLO`,
      "GET /x [HELLO]",
    ],
    "blanks around it": [post("hello", "Content-Length:  5 "), SERVED],
    "two numbers": [post("hello", "Content-Length: 5 5"), "400"],
    empty: [post("hello", "Content-Length:"), "400"],
    "a CR where the hyphen belongs": [post("abc", "Content\rLength: 3"), "400"],
    "a CR that begins the body": ["POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\rabc", "400"],
    "a body of a request whose method needs none": [
      `${head("DELETE /x HTTP/1.1", "Host: a", "Content-Length: 5")}hello`,
      "DELETE /x [hello], GET /last []",
    ],
    // Go, nginx and we say so upstream; llhttp only reads.
    "none on POST": [post(""), "POST /x [], GET /last []"],
  });
});

test("chunks (llhttp: request/transfer-encoding; nginx: body_chunked)", async () => {
  const trailed = "5\r\nhello\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n";
  const extended = (first: string): string => post(`${first}\r\nhello\r\n0\r\n\r\n`, CHUNKED);
  await expectRows({
    "one empty chunk": [post("0\r\n\r\n", CHUNKED), "POST /x [], GET /last []"],
    "a size in lower case": [post("a\r\n0123456789\r\n0\r\n\r\n", CHUNKED), "POST /x [0123456789], GET /last []"],
    "a size in upper case": [post("A\r\n0123456789\r\n0\r\n\r\n", CHUNKED), "POST /x [0123456789], GET /last []"],
    "a last chunk of three zeros": [post("5\r\nhello\r\n000\r\n\r\n", CHUNKED), SERVED],
    trailers: [post(trailed, CHUNKED), SERVED],
    extensions: [extended("5;ilovew3;somuchlove=aretheseparametersfor"), SERVED],
    "an extension without a semicolon": [extended("5 erfrferferf"), "400"],
    "a semicolon without an extension": [extended("5;"), "400", SERVED],
    "quoted extensions": [extended('5;a="I \\"love\\"; \\\\extensions\\\\";b="c";d;e=f'), SERVED],
    "a quotation that does not end": [extended('5;a="abc";b="def; ghi'), "400"],
    "a space behind the size": [extended("5 "), "400"],
    "a line feed within the size": [extended("5 \n  "), "400"],
    "a size ended by two CR": [extended("5\r\r;ABCD"), "400"],
    "data longer than its size": [post("4\r\nSEE-THIS\r\n0\r\n\r\n", CHUNKED), "400"],
    "data not ended by CRLF": [post("5\r\nABCDE0\r\n\r\n", CHUNKED), "400"],
    "a coding of pigeons": [post("", "Transfer-Encoding: pigeons"), "400"],
    chunkedchunked: [post(HELLO, "Transfer-Encoding: chunkedchunked"), "400"],
    "chunked, deflate": [post(HELLO, "Transfer-Encoding: chunked, deflate"), "400"],
    "chunked, and deflate in a field of its own": [post(HELLO, CHUNKED, "Transfer-Encoding: deflate"), "400"],
    "chunked twice": [post(HELLO, CHUNKED, CHUNKED), "400"],
    // llhttp reads the chunks and leaves the rest to whoever asked; nginx says 501. It could not be passed on as it
    // came.
    "deflate, chunked": [post(HELLO, "Transfer-Encoding: deflate, chunked"), "400"],
    "deflate, and chunked in a field of its own": [post(HELLO, "Transfer-Encoding: deflate", CHUNKED), "400"],
    // nginx says 501.
    identity: [post("", "Transfer-Encoding: identity"), "400"],
    "a fold behind chunked": [post(HELLO, "Transfer-Encoding: chunked\r\n  abc"), "400"],
    "a GET in chunks": [`${get(CHUNKED)}${HELLO}`, "GET /x [hello], GET /last []"],
    "a HEAD without any (Go adds no length, nor do we)": [
      head("HEAD /x HTTP/1.1", "Host: a"),
      "HEAD /x [], GET /last []",
    ],
  });
});

test("heads that are none (llhttp: request/invalid, lenient-*; httpxy and reply-from: smuggled ones)", async () => {
  await expectRows({
    "another protocol": [line("GET /x ICE/1.0"), "400"],
    "another protocol that ends in HTTP": [line("GET /x IHTTP/1.0"), "400"],
    "RTSP with a method that HTTP has not (llhttp takes it)": [line("ANNOUNCE /x RTSP/1.0"), "400"],
    "the same by RTSP/1.1": [line("SETUP /x RTSP/1.1"), "400"],
    // llhttp takes them, and node does not tell which protocol it was: they are served as HTTP/1.0. Go and nginx say
    // 400.
    "RTSP with a method that HTTP has, too": [line("OPTIONS /x RTSP/1.0"), "OPTIONS /x []"],
    "ICE with its method": [line("SOURCE /x ICE/1.0"), "SOURCE /x []"],
    "a method of RTSP": [line("ANNOUNCE /x HTTP/1.1"), "400"],
    "HTTP/5.6": [line("GET /x HTTP/5.6"), "400"],
    "no version": ["GET /x\r\n\r\n", "400"],
    "the preface of HTTP/2": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"],
    "PRI by HTTP/1.1": [line("PRI * HTTP/1.1"), "400"],
    "fields separated by CR": [get("Foo: 1\rBar: 2"), "400"],
    "fields separated by LF": [post(HELLO, `x:x\n${CHUNKED}`), "400"],
    "an empty field ended by CR": [post(HELLO, `x:\r${CHUNKED}`), "400"],
    "an empty field ended by LF": [post(HELLO, `x:\n${CHUNKED}`), "400"],
    "a line with a CR and one more byte for an end": [
      "GET /x HTTP/1.1\r\nHost: a\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n",
      "400",
    ],
    "a name with an @": [get("Fo@: Failure"), "400"],
    "a name with a control byte": [get("Foo\x01\test: Bar"), "400"],
    "no name": [get(": Bar"), "400"],
    "a name on one line, its colon on the next": [get("name\r\n : value"), "400"],
    "an escape sequence in a name": [get("Connection\r\x1b\x355eep-Alive"), "400"],
    "a length behind a bare LF": [get("Dummy: x\nContent-Length: 23"), "400"],
    "a space in front of the first field": ["GET /x HTTP/1.1\r\n Host: foo\r\nHost: a\r\n\r\n", "400"],
    "a space in front of a length": [
      post("x".repeat(38), "Foo: bar", " Content-Length: 38").replace("\r\n Content", "\r\n Content"),
      "400",
    ],
    "a form feed in a value": [get("Header1: hello\x0cworld"), "400"],
    "no LF behind the request line": ["GET /x HTTP/1.1\rHost: a\r\n\r\n", "400"],
    "lines ended by LF alone": ["POST /x HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nA\n0\n\n", "400"],
    "a folded value (llhttp and Node take it only when told to be lenient; nginx refuses it, too)": [
      get("Line1:   abc\r\n\tdef\r\n ghi"),
      "400",
    ],
    "an empty line in front": [`\r\n${get()}`, GOT],
    "a value in UTF-8": [get("Test: D\xc3\xbcsseldorf"), GOT],
    "a value with 0xff": [get("Header2: \xffValue2"), GOT],
    "a name of letters and a value of signs": [get("aaaaaaaaaaaaa:++++++++++"), GOT],
    "blanks and tabs in front of a value": [get("Header2:\t Value2"), GOT],
    // RFC 9112 3.2, Go and nginx; llhttp does not look.
    "no Host": [head("GET /x HTTP/1.1"), "400"],
    "two Hosts": [get("Host: a"), "400"],
    // nginx has limits of its own for a request line (414); ours is one for the whole head.
    "a target of 40 KB": [line(`GET /${"x".repeat(40_000)} HTTP/1.1`), "431"],
    "a field of 40 KB behind another request": [`${get()}${get(`X: ${"x".repeat(40_000)}`)}`, "GET /x [], 431"],
  });
});

test("methods (llhttp: request/method; nginx: http_method, proxy_method)", async () => {
  const passes = [
    "REPORT",
    "PURGE",
    "SEARCH",
    "LINK",
    "UNLINK",
    "SOURCE",
    "PROPFIND",
    "MKCALENDAR",
    "TRACE",
    "OPTIONS",
  ];
  await expectRows({
    ...Object.fromEntries(passes.map((name) => [name, [line(`${name} /x HTTP/1.1`), `${name} /x [], GET /last []`]])),
    PATCH: [
      `${head("PATCH /x HTTP/1.1", "Host: a", 'If-Match: "e0023aa4e"', "Content-Length: 10")}cccccccccc`,
      "PATCH /x [cccccccccc], GET /last []",
    ],
    // Node 22 and later know it.
    QUERY: [
      `${head("QUERY /x HTTP/1.1", "Host: a", "Content-Length: 5")}hello`,
      "QUERY /x [hello], GET /last []",
      "400",
    ],
    // Go and nginx take any word. Node's parser knows those that are registered, as it does in the server we stand for.
    MKCOLA: [line("MKCOLA /x HTTP/1.1"), "400"],
    "a method in lower case": [line("get /x HTTP/1.1"), "400"],
    // We are no proxy that clients choose; nginx says 405, too.
    CONNECT: [head("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443"), "405"],
    "CONNECT by HTTP/1.0, with credentials and a body": [
      `${head("CONNECT home_0.netscape.com:443 HTTP/1.0", "Proxy-authorization: basic aGVsbG86d29ybGQ=", "Content-Length: 10")}blarfcicle`,
      "405",
    ],
    // The asterisk is for OPTIONS (RFC 9112 3.2.4); M-SEARCH belongs to UDP.
    "M-SEARCH *": [line("M-SEARCH * HTTP/1.1"), "400"],
  });
});

test("targets (llhttp: request/uri; Go: query parameters; nginx: http_request_port; reply-from: paths that climb)", async () => {
  const same = (target: string): [string, string] => [line(`GET ${target} HTTP/1.1`), `GET ${target} [], GET /last []`];
  await expectRows({
    "quotation marks": same('/with_"lovely"_quotes?foo=\\"bar\\"'),
    "two question marks": same("/test.cgi?foo=bar?baz"),
    "a vertical bar": same("/test.cgi?query=|"),
    // Go drops what readers of a query could disagree about. We read none, so nobody disagrees with us.
    "a semicolon in the query": same("/?a=1;b=2"),
    "a bad escape in the query": same("/?a=%zz&a=%"),
    "a parameter twice": same("/?a=1&a=2"),
    // reply-from refuses these, since it joins them to a base. We have none: the upstream reads its own paths.
    "dots that climb": same("/../../etc/passwd"),
    "escaped dots that climb": same("/%2e%2e/%2e%2e/etc"),
    "three dots": same("/blog/[...slug]"),
    "slashes in a row": same("//a//b"),
    "an address within the path": same("/http://other.example:80/"),
    "a colon and a backslash": same("/:\\foo"),
    "absolute, ended by a query": [line("GET http://a?hail=all HTTP/1.1"), "GET /?hail=all [], GET /last []"],
    "absolute, with a port and no path": [line("GET http://a:1234 HTTP/1.1"), "GET / [], GET /last []"],
    "absolute, of another scheme": [line("GET ftp://a/x HTTP/1.1"), "400"],
    // llhttp and nginx read it. A name in front of an @ is how a page is made to look like another's (RFC 9110 4.2.4).
    "absolute, with a password": [line("GET http://a:b@hypnotoad.org:1234/toto HTTP/1.1"), "400"],
    // llhttp and nginx take it. It is never sent (RFC 9112 3.2.1), and readers cut it off or keep it.
    "a fragment": [line("GET /x?page=1#posts-17408 HTTP/1.1"), "400"],
    "UTF-8": [line("GET /\xce\xb4\xc2\xb6 HTTP/1.1"), "400"],
    "a space": [line("GET /foo bar HTTP/1.1"), "400"],
    "no slash in front": [line("GET x HTTP/1.1"), "400"],
  });
});
