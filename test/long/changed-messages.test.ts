// Messages that bare http-proxy changes on the way: what has to arrive unchanged, and what must not.

import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { expectUnharmed, ok, recorded, statuses } from "../kit/recording.ts";
import { valuesOf } from "../kit/strict.ts";
import { within } from "../kit/until.ts";

const LAST = head("GET /last HTTP/1.1", "Host: a", "Connection: close");

test("targets go up byte for byte, of requests and of upgrades", async () => {
  const targets = [
    ["//evil/x", "//evil/x;c//d", "/;c//d", "/a/../b/./c", "/%2e%2E/%6d", "/@x", "/a@b:80/%40|^`{}", "/\\x"],
    ["/?", "/??a=b?c", "/x?a=//b/../c", '/"<>', "/%", "/%00", "/x;jsessionid=1?a;b"],
  ].flat();
  const { daemon, upstream } = await recorded();
  for (const target of targets) {
    const client = await dial(daemon.port);
    client.send(head(`GET ${target} HTTP/1.1`, "Host: a", "Connection: close"));
    await within(client.ended, `an answer to ${target}`);
    const tunnel = await dial(daemon.port);
    tunnel.send(upgrade(target));
    await within(tunnel.ended, `an answer to an upgrade to ${target}`);
  }
  expect(upstream.seen().map(({ target }) => target)).toEqual(targets.flatMap((target) => [target, target]));
  await expectUnharmed(daemon);
});

test("the query of a mux path goes along byte for byte", async () => {
  const { daemon, upstream } = await recorded(undefined, "--mux", "/term=1");
  const queries = ["", "?", "?a=b", "?//x/..?y?z", "?%6d&%00"];
  for (const query of queries) {
    const tunnel = await dial(daemon.port);
    tunnel.send(upgrade(`/ao-terminal-mux${query}`));
    await within(tunnel.ended, "an answer");
    const absolute = await dial(daemon.port);
    absolute.send(upgrade(`http://b/ao-terminal-mux${query}`));
    await within(absolute.ended, "an answer");
  }
  expect(upstream.seen().map(({ target, fields }) => [target, ...valuesOf(fields, "host")])).toEqual(
    queries.flatMap((query) => [
      [`/mux${query}`, "localhost"],
      [`/mux${query}`, "b"],
    ]),
  );
});

test("hop-by-hop fields of a request go, everything else stays in order and case", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  const hop = [
    ["Connection: X-Mine, keep-alive", "X-Mine: 1", "x-mine: 2", "Keep-Alive: timeout=5", "TE: trailers"],
    ["Proxy-Connection: keep-alive", "Upgrade: h2c", "Proxy-Authorization: Basic eDp5", "Proxy-Authenticate: x"],
  ].flat();
  const kept = [
    "X-b: 1",
    "x-A: 2",
    "X-B: 3",
    "__proto__: 4",
    "constructor: 5",
    "Cookie: a=1",
    "cookie: b=2",
    "X-Empty:",
  ].concat([
    "Accept-Encoding: gzip",
    "Cache-Control: no-cache",
    "X-Utf8: \xc3\xa9",
    "X-Latin1: \xe9",
    "Range: bytes=0-",
  ]);
  client.send(`${head("POST /x HTTP/1.1", "hOST: a", ...hop, ...kept, "Content-Length: 5")}hello`);
  await client.readUntil("POST /x");
  client.send(head("GET /x HTTP/1.1", "hOST: a", ...hop, ...kept));
  await client.readUntil("GET /x");
  for (const { fields } of upstream.seen()) {
    const lines = fields.map(([name, value]) => (value === "" ? `${name}:` : `${name}: ${value}`));
    expect(lines.slice(0, 14)).toEqual(["hOST: a", ...kept]);
    expect(lines.slice(14).map((line) => line.split(":")[0])).toEqual(
      ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via"]
        .concat(lines.some((line) => line.startsWith("Content-Length")) ? ["Content-Length"] : [])
        .concat(["TE", "Connection"]),
    );
    // Trailers are passed on, so the client's word that it takes them is, too: written anew (RFC 9110 10.1.4).
    expect(valuesOf(fields, "te")).toEqual(["trailers"]);
    expect(valuesOf(fields, "connection")).toEqual(["keep-alive, TE"]);
  }
});

test("hop-by-hop fields of an answer go, everything else stays in order and case", async () => {
  const hop = [
    "Connection: close, X-Mine",
    "X-Mine: 1",
    "Keep-Alive: timeout=9, max=3",
    "Proxy-Connection: close",
  ].concat(["Upgrade: h2c", "TE: trailers", "Proxy-Authenticate: Basic"]);
  const kept = [
    "sET-cookie: a=1",
    "Set-Cookie: b=2",
    "Set-Cookie: a=1",
    "__proto__: 3",
    "X-b: 1",
    "x-A: 2",
    "X-B: 3",
  ].concat([
    'Content-Disposition: attachment; filename="\xc3\xa9"',
    "X-Latin1: \xe9",
    "Server: x",
    "Date: then",
    "X-Empty: ",
  ]);
  const { daemon, upstream } = await recorded(({ method, target }) => {
    if (target === "/late") return "";
    return target === "/x" ? ok("hello", ...hop, ...kept).slice(0, method === "HEAD" ? -5 : undefined) : undefined;
  });
  const client = await dial(daemon.port);
  const expectHead = (text: string): void => {
    const lines = text.slice(0, text.indexOf("\r\n\r\n")).split("\r\n");
    expect(lines).toEqual([
      "HTTP/1.1 200 OK",
      ...kept,
      "Content-Length: 5",
      "Connection: keep-alive",
      "Keep-Alive: timeout=125",
    ]);
  };
  for (const method of ["GET", "HEAD"]) {
    const before = client.received().length;
    client.send(head(`${method} /x HTTP/1.1`, "Host: a"));
    await client.readUntil(new RegExp(`^[^]{${before}}[^]*\r\n\r\n${method === "GET" ? "hello" : ""}`));
    expectHead(client.received().slice(before));
  }
  const before = client.received().length;
  client.send(head("GET /late HTTP/1.1", "Host: a"));
  const peer = await upstream.asked("/late");
  const answer = ok("hello", ...hop, ...kept);
  peer.send(answer.slice(0, -5));
  await client.readUntil(new RegExp(`^[^]{${before}}[^]*\r\n\r\n`));
  expectHead(client.received().slice(before));
  peer.send("hello");
  await client.readUntil(/\r\n\r\nhello$/);
  client.send(LAST);
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([200, 200, 200, 200]);
});

test.each([
  ["two", ["Host: a", "Host: b"]],
  ["the same twice", ["Host: a", "host: a"]],
  ["none", []],
  ["a list", ["Host: a, b"]],
  ["a space", ["Host: a b"]],
  ["a path", ["Host: a/b"]],
  ["a user", ["Host: x@a"]],
  ["a port that is none", ["Host: a:b"]],
  ["two ports", ["Host: a:1:2"]],
  ["an open bracket", ["Host: [::1"]],
  ["a query", ["Host: a?b"]],
  ["a high byte", ["Host: \xe9"]],
])("Host: %s is refused with 400", async (_, hosts) => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", ...hosts) + LAST);
  await within(client.ended, "the end");
  const tunnel = await dial(daemon.port);
  tunnel.send(head("GET /mux HTTP/1.1", ...hosts, "Connection: Upgrade", "Upgrade: websocket"));
  await within(tunnel.ended, "the end");
  expect(statuses(client.received() + tunnel.received())).toEqual([400, 400]);
  await expectUnharmed(daemon);
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/alive"]);
});

test("a 103 is passed on at once, with its fields", async () => {
  const { daemon, upstream } = await recorded(({ target }) => (target === "/x" ? "" : undefined));
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", "Host: a"));
  const peer = await upstream.asked("/x");
  peer.send(head("HTTP/1.1 103 Early Hints", "Link: </a.css>", "Link: </\xe9>", "Connection: X-Gone", "X-Gone: 1"));
  await client.readUntil("\r\n\r\n");
  expect(client.received()).toBe("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nLink: </\xe9>\r\n\r\n");
  peer.send(ok("hello"));
  await client.readUntil("\r\n\r\nhello");
  expect(statuses(client.received())).toEqual([103, 200]);
});

test("a client of HTTP/1.0 gets no 1xx", async () => {
  const { daemon } = await recorded(({ target }) =>
    target === "/x" ? head("HTTP/1.1 103 X") + ok("hello") : undefined,
  );
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.0", "Host: a"));
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([200]);
});

test("the upstream decides about a 100-continue", async () => {
  const { daemon, upstream } = await recorded(({ target }) => (target === "/no" ? "" : undefined));
  const ask = (target: string): string =>
    head(`POST ${target} HTTP/1.1`, "Host: a", "Expect: 100-continue", "Content-Length: 5");
  const yes = await dial(daemon.port);
  yes.send(ask("/yes"));
  const agreeing = await upstream.asked("/yes");
  await agreeing.readUntil("\r\n\r\n");
  expect(yes.received()).toBe("");
  agreeing.send(head("HTTP/1.1 100 Continue"));
  await yes.readUntil("100 Continue\r\n\r\n");
  yes.send("hello");
  await yes.readUntil("POST /yes");
  expect(statuses(yes.received())).toEqual([100, 200]);
  const no = await dial(daemon.port);
  no.send(ask("/no"));
  const declining = await upstream.asked("/no");
  declining.send(head("HTTP/1.1 417 No", "Content-Length: 0"));
  await within(no.ended, "the end");
  expect(statuses(no.received())).toEqual([417]);
  await expectUnharmed(daemon);
  expect(upstream.seen().map(({ target, body }) => [target, body])).toEqual([
    ["/yes", "hello"],
    ["/alive", ""],
  ]);
});

test("a request that is tried again says once who forwarded it", async () => {
  let tries = 0;
  const { daemon, upstream } = await recorded(({ target }, peer) => {
    if (target !== "/x" || (tries += 1) > 2) return undefined;
    peer.reset();
    return "";
  });
  const client = await dial(daemon.port);
  client.send(`${head("PUT /x HTTP/1.1", "Host: a", "X-Forwarded-For: 192.0.2.1", "Content-Length: 5")}hello${LAST}`);
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([200, 200]);
  const attempts = upstream.seen().filter(({ target }) => target === "/x");
  expect(attempts).toHaveLength(3);
  for (const { fields, body } of attempts) {
    expect(body).toBe("hello");
    expect(valuesOf(fields, "x-forwarded-for")).toEqual(["192.0.2.1, 127.0.0.1"]);
    expect(["x-forwarded-proto", "x-forwarded-host", "via"].map((name) => valuesOf(fields, name).length)).toEqual([
      1, 1, 1,
    ]);
  }
});

test.each([
  [
    "chunks",
    `${head("HTTP/1.1 401 No", "Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`,
    "5\r\nhello\r\n0\r\n\r\n",
  ],
  ["a length", `${head("HTTP/1.1 401 No", "Content-Length: 5")}hello`, "hello"],
])("a refused upgrade answered with %s has a head and a body that fit", async (_, answer, body) => {
  const { daemon } = await recorded(({ target }) => (target === "/mux" ? answer : undefined));
  const client = await dial(daemon.port);
  client.send(upgrade("/mux"));
  await within(client.ended, "the end");
  const [fields, ...rest] = client.received().split("\r\n\r\n");
  expect(rest.join("\r\n\r\n")).toBe(body);
  expect(/transfer-encoding: chunked/i.test(fields ?? "")).toBe(body !== "hello");
  expect(fields).toMatch(/^HTTP\/1\.1 401 No\r\n[^]*\r\nConnection: close$/);
});
