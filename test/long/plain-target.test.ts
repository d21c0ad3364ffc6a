import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, nextResponse, requestHead } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

const EMPTY = head("HTTP/1.1 200 OK", "Content-Length: 0");

// Targets go up byte for byte: each of these is changed, or refused with a crash, by some proxy.
const TARGETS = [
  "/",
  "//",
  "//evil/x",
  "/;c//d",
  "/a/../b",
  "/../../etc/passwd",
  "/a/./b/",
  "/a//b///c",
  "/x@y",
  "//user:pass@host/x?to=a@b",
  "/a\\b\\..\\c",
  "/%00%2e%2E%2f",
  "/%zz%",
  "/?",
  "/a?b?c=//../;@\\",
  "/'\"<>^`{|}~!$&()*+,:=[]",
  "/?next=http://other.example/%3F",
  `/${"long/".repeat(1000)}`,
];

test("path and query are forwarded byte for byte", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  for (const [index, target] of TARGETS.entries()) {
    client.send(head(`GET ${target} HTTP/1.1`, "Host: a"));
    const peer = index === 0 ? await up.next() : up.accepted[0]!;
    await peer.readUntil(`GET ${target} HTTP/1.1\r\n`);
    peer.send(EMPTY);
    expect((await nextResponse(client)).status, target).toBe(200);
  }
  expect(up.accepted).toHaveLength(1);
});

// What the client writes, the method first, and what the upstream gets; undefined for a refusal (RFC 9112 3.2).
const FORMS: [line: string, got: string | undefined, host?: string][] = [
  ["GET http://b.example/x//../y?z=http://c", "GET /x//../y?z=http://c", "b.example"],
  ["GET HTTP://b.example:81", "GET /", "b.example:81"],
  ["GET https://b.example?z", "GET /?z", "b.example"],
  ["POST http://[::1]:81/x", "POST /x", "[::1]:81"],
  ["OPTIONS http://b.example", "OPTIONS *", "b.example"],
  ["OPTIONS http://b.example/", "OPTIONS /", "b.example"],
  ["OPTIONS *", "OPTIONS *", "a"],
  ["GET //b.example/x", "GET //b.example/x", "a"],
  ...[
    ["GET *", "POST *", "DELETE *", "GET */x", "OPTIONS */x", "OPTIONS *?x"],
    ["GET http://", "GET http:///x", "GET http://:80/x", "GET http://[::1/x", "GET http://?x", "OPTIONS http://"],
    ["GET http://u@b.example/x", "GET http://u:secret@b.example/x", "GET http://b.example:x/", "GET http://b\\c/x"],
    ["GET ftp://b.example/x", "GET ws://b.example/mux", "GET file:///etc/passwd", "GET gopher://b/"],
    ["GET /a#b", "GET /#", "GET /a?b#c", "GET #", "GET http://b.example/#x", "GET http://b.example#x"],
  ]
    .flat()
    .map((line): [string, undefined] => [line, undefined]),
];

test("the upstream gets the origin-form, with the host of the target; nonsense is a 400", async () => {
  const up = await rawUpstream((peer) => peer.socket.on("data", () => peer.send(EMPTY)));
  const daemon = await startDaemon(["--http", String(up.port)]);
  for (const [line, got, host = ""] of FORMS) {
    const before = up.accepted.map((peer) => peer.received().length);
    const answer = await ask(daemon.port, head(`${line} HTTP/1.1`, "X: 1", "Host: a", "Content-Length: 0"));
    const sent = up.accepted.map((peer, index) => peer.received().slice(before[index] ?? 0)).join("");
    expect(answer.status, line).toBe(got === undefined ? 400 : 200);
    expect(/^[^]+? HTTP/.exec(sent)?.[0], line).toBe(got && `${got} HTTP`);
    if (got === undefined) expect(JSON.parse(answer.body)).toMatchObject({ error: { code: "bad_request" } });
    else expect(sent).toMatch(new RegExp(`\r\nX: 1\r\nHost: ${host.replaceAll(/\W/g, "\\$&")}\r\n`));
    if (got !== undefined) expect(sent).toContain(`\r\nX-Forwarded-Host: ${host}\r\n`);
  }
  expect(JSON.stringify(daemon.log)).not.toContain("secret");
});

test("an absolute-form target needs no Host by HTTP/1.0, and exactly one by HTTP/1.1", async () => {
  const up = await rawUpstream((peer) => peer.send(EMPTY));
  const daemon = await startDaemon(["--http", String(up.port)]);
  expect((await ask(daemon.port, head("GET http://b.example/x HTTP/1.0"))).status).toBe(200);
  expect(up.accepted[0]?.received()).toMatch(/^GET \/x HTTP\/1\.1\r\nHost: b\.example\r\n/);
  expect((await ask(daemon.port, head("GET http://b.example/x HTTP/1.1"))).status).toBe(400);
  expect((await ask(daemon.port, head("GET http://b.example/x HTTP/1.1", "Host: b", "Host: b"))).status).toBe(400);
});

test("OPTIONS * asks the upstream for *", async () => {
  const up = await rawUpstream((peer) => peer.send(EMPTY));
  const daemon = await startDaemon(["--http", String(up.port)]);
  expect((await ask(daemon.port, head("OPTIONS * HTTP/1.1", "Host: a"))).status).toBe(200);
  expect((await requestHead(up.accepted[0]!)).line).toBe("OPTIONS * HTTP/1.1");
});

test.each(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "PURGE"])(
  "%s passes, without a body and with one",
  async (method) => {
    const up = await rawUpstream();
    const daemon = await startDaemon(["--http", String(up.port)]);

    const bare = await dial(daemon.port);
    bare.send(head(`${method} /bare HTTP/1.1`, "Host: a"));
    const peer = await up.next();
    const { line, fields } = await requestHead(peer);
    expect(line).toBe(`${method} /bare HTTP/1.1`);
    expect(fields.find(([name]) => name === "Transfer-Encoding")).toBeUndefined();
    peer.send(EMPTY);
    expect((await nextResponse(bare, method)).status).toBe(200);

    const full = await dial(daemon.port);
    full.send(`${head(`${method} /full HTTP/1.1`, "Host: a", "Content-Length: 4")}body`);
    // On the connection of the first, or on a fresh one: whichever the method is given.
    const got = (one: RawClient): boolean => one.received().includes("/full");
    const other = await until(() => up.accepted.find(got), "the second request");
    expect(await other.readUntil("\r\n\r\nbody")).toMatch(/\r\nContent-Length: 4\r\n(.*\r\n)*\r\nbody$/);
    other.send(EMPTY);
    expect((await nextResponse(full, method)).status).toBe(200);
  },
);
