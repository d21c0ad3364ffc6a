// Requests that bare http-proxy forwards as two requests, or as different ones.

import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { expectUnharmed, ok, recorded, recordingUpstream, statuses } from "../kit/recording.ts";
import { startDaemon } from "../kit/daemon.ts";
import { valuesOf } from "../kit/strict.ts";
import { within } from "../kit/until.ts";

const EVIL = head("GET /evil HTTP/1.1", "Host: a");
const LAST = head("GET /last HTTP/1.1", "Host: a", "Connection: close");
const CHUNKS = `${EVIL.length.toString(16)}\r\n${EVIL}\r\n0\r\n\r\n`;

test.each(["DELETE", "OPTIONS", "GET", "HEAD", "TRACE"])(
  "%s with a chunked body goes up as one request with a chunked body",
  async (method) => {
    const { daemon, upstream } = await recorded();
    const client = await dial(daemon.port);
    client.send(head(`${method} /x HTTP/1.1`, "Host: a", "Transfer-Encoding: chunked") + CHUNKS + LAST);
    await within(client.ended, "the end");
    const [first, ...rest] = upstream.seen();
    expect(first).toMatchObject({ method, target: "/x", body: EVIL, chunked: true });
    expect(valuesOf(first?.fields ?? [], "content-length")).toEqual([]);
    expect(rest.map(({ target }) => target)).toEqual(["/last"]);
    expect(statuses(client.received())).toEqual([200, 200]);
    await expectUnharmed(daemon);
  },
);

test("framing and credentials behind 4,000 other fields are honoured", async () => {
  const { daemon, upstream } = await recorded();
  const many = Array.from({ length: 4000 }, () => "a:b");
  const client = await dial(daemon.port);
  for (const framed of [[`Content-Length: ${EVIL.length}`], ["Transfer-Encoding: chunked"]]) {
    const fields = ["Host: a", ...many, "Authorization: Basic eDp5", ...framed];
    client.send(head("POST /x HTTP/1.1", ...fields) + (framed[0]?.startsWith("C") ? EVIL : CHUNKS));
  }
  client.send(LAST);
  await within(client.ended, "the end");
  expect(upstream.seen().map(({ target, body }) => [target, body])).toEqual([
    ["/x", EVIL],
    ["/x", EVIL],
    ["/last", ""],
  ]);
  for (const { fields } of upstream.seen().slice(0, 2)) {
    expect(valuesOf(fields, "a")).toHaveLength(4000);
    expect(valuesOf(fields, "authorization")).toEqual(["Basic eDp5"]);
  }
  await expectUnharmed(daemon);
});

test("a header block above the limit is refused with 431", async () => {
  const { daemon, upstream } = await recorded();
  for (const fields of [Array.from({ length: 17_000 }, () => "a: b"), [`a: ${"b".repeat(33_000)}`]]) {
    const client = await dial(daemon.port);
    client.send(head("POST /x HTTP/1.1", "Host: a", ...fields, "Content-Length: 5"));
    await within(client.ended, "the end");
    expect(statuses(client.received())).toEqual([431]);
  }
  await expectUnharmed(daemon);
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/alive"]);
});

test("an answer's framing behind 4,000 other fields is honoured", async () => {
  const many = Array.from({ length: 4000 }, () => "a:b");
  const { daemon } = await recorded(({ target }) => (target === "/x" ? ok("hello", ...many) : undefined));
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", "Host: a") + LAST);
  await within(client.ended, "the end");
  expect(client.received()).toMatch(/\r\nContent-Length: 5\r\n[^]*?\r\n\r\nhelloHTTP\/1\.1 200 /);
  expect(client.received().match(/\r\na: b(?=\r\n)/g)).toHaveLength(4000);
  await expectUnharmed(daemon);
});

test.each([
  ["content-length", [`Content-Length: ${EVIL.length}`], EVIL],
  ["transfer-encoding", ["Transfer-Encoding: chunked"], CHUNKS],
])("Connection: %s does not delete the framing", async (name, fields, body) => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(head("POST /x HTTP/1.1", "Host: a", `Connection: keep-alive, ${name}`, ...fields) + body + LAST);
  await within(client.ended, "the end");
  expect(upstream.seen().map(({ target, body }) => [target, body])).toEqual([
    ["/x", EVIL],
    ["/last", ""],
  ]);
  await expectUnharmed(daemon);
});

test("Connection deletes neither Host nor what says who the client is", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  const forwarding = ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "cf-connecting-ip"];
  const claims = ["X-Forwarded-For: 192.0.2.1", "CF-Connecting-IP: 192.0.2.1", "X-Other: gone"];
  client.send(head("GET /x HTTP/1.1", "Host: a", `Connection: ${forwarding.join(", ")}, x-other`, ...claims));
  await client.readUntil("GET /x");
  const fields = upstream.seen()[0]?.fields ?? [];
  expect(forwarding.map((name) => valuesOf(fields, name))).toEqual([
    ["a"],
    ["192.0.2.1, 127.0.0.1"],
    ["http"],
    ["a"],
    [expect.stringMatching(/^1\.1 single-port/)],
    ["192.0.2.1"],
  ]);
  expect(valuesOf(fields, "x-other")).toEqual([]);
});

test.each([
  ["a length", [`Content-Length: ${EVIL.length}`], EVIL],
  ["a chunked body", ["Transfer-Encoding: chunked"], CHUNKS],
])("an upgrade with %s is refused with 400", async (_, fields, body) => {
  const { daemon, upstream } = await recorded();
  for (const path of ["/mux", "/hmr"]) {
    const client = await dial(daemon.port);
    client.send(upgrade(path, ...fields) + body);
    await within(client.ended, "the end");
    expect(statuses(client.received())).toEqual([400]);
  }
  await expectUnharmed(daemon);
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/alive"]);
});

test("an upgrade by HTTP/1.0 is ignored", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(upgrade("/mux").replace("HTTP/1.1", "HTTP/1.0"));
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([200]);
  expect(valuesOf(upstream.seen()[0]?.fields ?? [], "upgrade")).toEqual([]);
  await expectUnharmed(daemon);
});

test("an upgrade pipelined behind a slow GET waits for its answer", async () => {
  const { daemon, upstream } = await recorded(({ target }) => (/slow|mux/.test(target) ? "" : undefined));
  await expectUnharmed(daemon);
  const client = await dial(daemon.port);
  client.send(head("GET /slow HTTP/1.1", "Host: a") + upgrade("/mux") + "first bytes");
  const web = await upstream.asked("/slow");
  await expectUnharmed(daemon);
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/alive", "/slow", "/alive"]);
  web.send(ok("slow answer"));
  const mux = await upstream.asked("/mux");
  mux.send(head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket") + "hello");
  await mux.readUntil("first bytes");
  await client.readUntil("\r\n\r\nhello");
  expect(statuses(client.received())).toEqual([200, 101]);
  expect(client.received()).toMatch(/\r\n\r\nslow answerHTTP\/1\.1 101 /);
});

test("Transfer-Encoding is written anew, without the empty elements of its list", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(head("POST /x HTTP/1.1", "Host: a", "transfer-encoding: ,CHUNKED") + CHUNKS + LAST);
  await within(client.ended, "the end");
  expect(upstream.seen().map(({ target, body }) => [target, body])).toEqual([
    ["/x", EVIL],
    ["/last", ""],
  ]);
  expect(valuesOf(upstream.seen()[0]?.fields ?? [], "transfer-encoding")).toEqual(["chunked"]);
});

test("HTTP/1.0 with Transfer-Encoding is the last request of its connection", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  const fields = ["Host: a", "Connection: keep-alive", "Transfer-Encoding: chunked"];
  client.send(head("POST /x HTTP/1.0", ...fields) + CHUNKS + LAST);
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([200]);
  expect(client.received()).toMatch(/\r\nConnection: close\r\n/);
  expect(upstream.seen().map(({ target, body }) => [target, body])).toEqual([["/x", EVIL]]);
  await expectUnharmed(daemon);
});

test("a mux gets its upgrade with the framing fields of nobody", async () => {
  const switching = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket");
  const mux = await recordingUpstream(() => switching);
  const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`]);
  const client = await dial(daemon.port);
  client.send(upgrade("/mux", "Content-Length: 0", "TE: trailers"));
  await client.readUntil("101 ");
  const fields = mux.seen()[0]?.fields ?? [];
  expect(["content-length", "transfer-encoding", "te"].flatMap((name) => valuesOf(fields, name))).toEqual([]);
});
