// Input that ends a process with bare http-proxy: after each, the same process serves on.

import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { expectUnharmed, ok, recorded, statuses } from "../kit/recording.ts";
import { valuesOf } from "../kit/strict.ts";
import { until, within } from "../kit/until.ts";

const LAST = head("GET /last HTTP/1.1", "Host: a", "Connection: close");

test("a request's Trailer goes up with chunks, and is dropped where there are none", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  const request = (...fields: string[]): string => head("POST /x HTTP/1.1", "Host: a", "Trailer: X-Sum", ...fields);
  client.send(request());
  client.send(`${request("Content-Length: 5")}hello`);
  client.send(`${request("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`);
  client.send(`GET${request().slice(4)}${LAST}`);
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([200, 200, 200, 200, 200]);
  expect(upstream.seen().map(({ fields, body, trailers }) => [valuesOf(fields, "trailer"), body, trailers])).toEqual([
    [[], "", []],
    [[], "hello", []],
    [["X-Sum"], "hello", [["X-Sum", "1"]]],
    [[], "", []],
    [[], "", []],
  ]);
  await expectUnharmed(daemon);
});

test("an answer's Trailer comes with chunks, and is dropped where there are none", async () => {
  const { daemon } = await recorded(({ target }) => {
    if (target === "/length") return ok("hello", "Trailer: X-Sum");
    if (target !== "/chunks") return undefined;
    return `${head("HTTP/1.1 200 OK", "Trailer: X-Sum", "Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`;
  });
  const length = await dial(daemon.port);
  length.send(head("GET /length HTTP/1.1", "Host: a", "Connection: close"));
  await within(length.ended, "the end");
  expect(length.received()).toMatch(/\r\n\r\nhello$/);
  expect(length.received()).not.toMatch(/trailer/i);
  const chunks = await dial(daemon.port);
  chunks.send(head("GET /chunks HTTP/1.1", "Host: a", "Connection: close"));
  await within(chunks.ended, "the end");
  expect(chunks.received()).toMatch(/\r\nTrailer: X-Sum\r\n[^]*\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n$/);
  await expectUnharmed(daemon);
});

test.each(["//[", "//[::1", "/%", "/%zz", "/\\["])("the target %s goes up as it is", async (target) => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(head(`GET ${target} HTTP/1.1`, "Host: a") + LAST);
  await within(client.ended, "the end");
  const tunnel = await dial(daemon.port);
  tunnel.send(upgrade(target));
  await within(tunnel.ended, "the end");
  expect(statuses(client.received() + tunnel.received())).toEqual([200, 200, 200]);
  expect(upstream.seen().map((request) => request.target)).toEqual([target, "/last", target]);
  await expectUnharmed(daemon);
});

test.each([
  ["status 000", "HTTP/1.1 000 X"],
  ["status 099", "HTTP/1.1 099 X"],
  ["status 1000", "HTTP/1.1 1000 X"],
  ["status 20", "HTTP/1.1 20 X"],
  ["a control byte in the reason", "HTTP/1.1 200 O\x01K"],
  ["a NUL in the reason", "HTTP/1.1 200 O\0K"],
  ["DEL in the reason", "HTTP/1.1 200 O\x7fK"],
  ["a CR in the reason", "HTTP/1.1 200 O\rK"],
  ["a control byte in a field", "HTTP/1.1 200 OK\r\nX: a\x01b"],
  ["a bare LF", "HTTP/1.1 200 OK\nX: a"],
  ["no HTTP", "ICY 200 OK"],
])("%s in an answer is a 502", async (_, first) => {
  const { daemon } = await recorded(({ target }) =>
    target === "/x" || target === "/mux" ? head(first, "Content-Length: 0") : undefined,
  );
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", "Host: a") + LAST);
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([502, 200]);
  expect(client.received()).toContain('"code":"upstream_bad_response"');
  const tunnel = await dial(daemon.port);
  tunnel.send(upgrade("/mux"));
  await within(tunnel.ended, "the end");
  expect(statuses(tunnel.received())).toEqual([502]);
  await expectUnharmed(daemon);
});

test.each([
  ["zz", "zz\r\n"],
  ["a size with a sign", "+5\r\nhello\r\n"],
  ["data that is too long", "5\r\nhelloworld\r\n"],
  ["a huge extension", `5;${"a".repeat(40_000)}\r\nhello\r\n`],
  ["a broken trailer", "0\r\nX y\r\n\r\n"],
])("%s where a chunk belongs cuts the client's connection", async (_, malformed) => {
  const { daemon, upstream } = await recorded(({ target }) => (target === "/x" ? "" : undefined));
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", "Host: a"));
  const peer = await upstream.asked("/x");
  peer.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "3\r\none\r\n");
  await client.readUntil("3\r\none\r\n");
  peer.send(malformed);
  await within(client.ended, "the client's connection to be cut");
  await within(peer.ended, "the upstream's connection to be ended");
  expect(client.received()).not.toContain("\r\n0\r\n");
  await expectUnharmed(daemon);
});

test.each([
  ["a length", "GET", head("HTTP/1.1 200 OK", "Content-Length: 5") + "hello", "hello"],
  ["chunks", "GET", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n"],
  ["HEAD", "HEAD", head("HTTP/1.1 200 OK", "Content-Length: 5"), ""],
  ["204", "GET", head("HTTP/1.1 204 No Content"), ""],
  ["304", "GET", head("HTTP/1.1 304 Not Modified", "Content-Length: 5"), ""],
])("garbage behind an answer that is complete by %s reaches nobody", async (_, method, answer, end) => {
  const poison = `${ok("evil")}garbage`;
  const { daemon, upstream } = await recorded(({ target }) => (target === "/x" ? answer + poison : undefined));
  const client = await dial(daemon.port);
  client.send(head(`${method} /x HTTP/1.1`, "Host: a"));
  await client.readUntil(`\r\n\r\n${end === "hello" ? end : ""}`);
  const peer = await upstream.asked("/x");
  await within(peer.ended, "the upstream's connection to be given up");
  client.send(LAST);
  await within(client.ended, "the end");
  expect(client.received()).toMatch(new RegExp(`${end}HTTP/1\\.1 200 OK\r\n[^]*\r\n\r\nGET /last\n$`));
  expect(client.received()).not.toMatch(/evil|garbage/);
  expect(statuses(client.received())).toHaveLength(2);
  await expectUnharmed(daemon);
});

test("garbage on an idle upstream connection is nobody's answer", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", "Host: a"));
  await client.readUntil("GET /x\n");
  const peer = await upstream.asked("/x");
  peer.send(ok("evil"));
  await within(peer.ended, "the upstream's connection to be given up");
  client.send(LAST);
  await within(client.ended, "the end");
  expect(client.received()).not.toContain("evil");
  await expectUnharmed(daemon);
});

test.each(["/mux", "/hmr"])(
  "a client's reset between upgrade and 101 on %s ends its upstream connection",
  async (path) => {
    const { daemon, upstream } = await recorded(({ target }) => (/^\/(mux|hmr)/.test(target) ? "" : undefined));
    const switching = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket");
    const other = await dial(daemon.port);
    other.send(upgrade("/mux"));
    const otherPeer = await upstream.asked("/mux");
    otherPeer.send(switching);
    await other.readUntil("\r\n\r\n");
    for (let i = 0; i < 5; i += 1) {
      const client = await dial(daemon.port);
      client.send(upgrade(`${path}?${i}`));
      const peer = await upstream.asked(`${path}?${i}`);
      client.reset();
      await within(peer.ended, "the upstream's connection to be ended");
      peer.send(switching);
    }
    otherPeer.send("still here");
    await other.readUntil("still here");
    await expectUnharmed(daemon);
  },
);

test("a client's reset while its upgrade is still being dialled or held leaves nothing behind", async () => {
  const { daemon, upstream } = await recorded();
  await expectUnharmed(daemon);
  const sockets = daemon.sockets();
  await upstream.kill();
  const clients = await Promise.all(Array.from({ length: 10 }, () => dial(daemon.port)));
  for (const client of clients) client.send(upgrade("/mux"));
  await until(() => daemon.sockets() >= sockets + 8, "the upgrades to be held");
  for (const client of clients) client.reset();
  await until(() => daemon.sockets() <= sockets, "their sockets to be closed");
  expect(process.kill(daemon.pid, 0)).toBe(true);
  expect(daemon.stderr()).toBe("");
});
