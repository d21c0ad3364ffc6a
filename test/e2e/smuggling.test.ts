// Request smuggling: the bytes an upstream gets mean what the client's bytes meant, or it gets none of them.

import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { expectUnharmed, ok, recorded, statuses } from "../kit/recording.ts";
import { until, within } from "../kit/until.ts";

const EVIL = head("GET /evil HTTP/1.1", "Host: a");
const LAST = head("GET /last HTTP/1.1", "Host: a", "Connection: close");
const chunked = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

test.each(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "QUERY", "PROPFIND"])(
  "%s with a body that looks like a request stays one request",
  async (method) => {
    const { daemon, upstream } = await recorded();
    const client = await dial(daemon.port);
    client.send(head(`${method} /length HTTP/1.1`, "Host: a", `Content-Length: ${EVIL.length}`) + EVIL);
    client.send(head(`${method} /chunks HTTP/1.1`, "Host: a", "Transfer-Encoding: chunked") + chunked(EVIL));
    client.send(head(`${method} /none HTTP/1.1`, "Host: a") + LAST);
    await within(client.ended, "the end");
    expect(statuses(client.received())).toEqual([200, 200, 200, 200]);
    expect(upstream.seen().map(({ target, body, chunked }) => [target, body, chunked])).toEqual([
      ["/length", EVIL, false],
      ["/chunks", EVIL, true],
      ["/none", "", false],
      ["/last", "", false],
    ]);
    await expectUnharmed(daemon);
  },
);

test("a body that comes byte by byte stays one request", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.socket.setNoDelay(true);
  const bytes = head("DELETE /x HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunked(EVIL) + LAST;
  for (const byte of bytes) {
    client.send(byte);
    await new Promise(setImmediate);
  }
  await within(client.ended, "the end");
  expect(upstream.seen().map(({ method, target, body }) => `${method} ${target} ${body}`)).toEqual([
    `DELETE /x ${EVIL}`,
    "GET /last ",
  ]);
});

test("a body that is announced and never comes lets nothing else through", async () => {
  const { daemon, upstream } = await recorded();
  for (const length of ["4294967301", "9007199254740993"]) {
    const field = `Content-Length: ${length}`;
    const client = await dial(daemon.port);
    client.send(head(`POST /${length} HTTP/1.1`, "Host: a", field) + EVIL + LAST);
    const peer = await upstream.asked(`/${length}`);
    expect(await peer.readUntil(LAST)).toContain(`\r\n${field}\r\n`);
    client.reset();
    await within(peer.ended, "the upload to be aborted");
  }
  expect(upstream.seen()).toEqual([]);
  await expectUnharmed(daemon);
});

test("an upgrade that the upstream refuses is the last request of its connection", async () => {
  const { daemon, upstream } = await recorded((request) =>
    request.target === "/mux" ? head("HTTP/1.1 403 No", "Content-Length: 0") : undefined,
  );
  const together = await dial(daemon.port);
  together.send(upgrade("/mux") + EVIL);
  await within(together.ended, "the end");
  const apart = await dial(daemon.port);
  apart.send(upgrade("/mux"));
  await apart.readUntil("403 No");
  apart.send(EVIL);
  await within(apart.ended, "the end");
  expect(statuses(together.received())).toEqual([403]);
  expect(statuses(apart.received())).toEqual([403]);
  await expectUnharmed(daemon);
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/mux", "/mux", "/alive"]);
  expect(upstream.rests().join("")).toBe("");
});

test("bytes behind an upgrade wait for the 101, and then are the tunnel's", async () => {
  const { daemon, upstream } = await recorded((request) => (request.target === "/mux" ? "" : undefined));
  const client = await dial(daemon.port);
  client.send(upgrade("/ao-terminal-mux") + EVIL);
  const peer = await upstream.asked("/mux");
  expect(upstream.rests().join("")).toBe("");
  peer.send(head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"));
  await peer.readUntil(EVIL);
  expect(upstream.rests().join("")).toBe(EVIL);
  expect(statuses(client.received())).toEqual([101]);
});

test.each([
  ["a length", [`Content-Length: ${EVIL.length}`], EVIL],
  ["a length of which nothing has come", [`Content-Length: ${EVIL.length}`], ""],
  ["chunks", ["Transfer-Encoding: chunked"], chunked(EVIL)],
])("an upgrade whose body is announced by %s is refused", async (_, fields, body) => {
  const { daemon, upstream } = await recorded();
  for (const path of ["/mux", "/hmr"]) {
    const client = await dial(daemon.port);
    client.send(upgrade(path, ...fields) + body);
    await client.readUntil("bad_request");
    client.send(LAST);
    await within(client.ended, "the end");
    expect(statuses(client.received())).toEqual([400]);
  }
  await expectUnharmed(daemon);
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/alive"]);
});

test.each([
  ["h2c", "GET", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Upgrade: h2c"],
  ["h2c", "POST", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Upgrade: h2c"],
  ["websocket", "POST", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
])("%s by %s is served as a plain request, without its Upgrade", async (_, method, ...fields) => {
  const { daemon, upstream } = await recorded();
  for (const [field, body] of [
    ["Content-Length: 5", "hello"],
    ["Transfer-Encoding: chunked", chunked("hello")],
    ["X: no body", ""],
  ] as const) {
    const client = await dial(daemon.port);
    client.send(head(`${method} /x HTTP/1.1`, "Host: a", ...fields, field) + body);
    await client.readUntil(`${method} /x`);
    expect(statuses(client.received())).toEqual([200]);
  }
  expect(upstream.seen().map(({ body }) => body)).toEqual(["hello", "hello", ""]);
  for (const { fields: sent } of upstream.seen()) {
    expect(sent.filter(([name]) => /^(upgrade|http2-settings)$/i.test(name))).toEqual([]);
  }
});

test("what is pipelined behind an ignored upgrade is answered, or the connection says that it is closed", async () => {
  const { daemon, upstream } = await recorded((request) => (request.target === "/h2c" ? "" : undefined));
  const client = await dial(daemon.port);
  const body = EVIL.repeat(3);
  const next = head("POST /next HTTP/1.1", "Host: a", `Content-Length: ${body.length}`) + body;
  client.send(
    head("GET /h2c HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: h2c") + next.slice(0, -EVIL.length),
  );
  const peer = await upstream.asked("/h2c");
  client.send(EVIL + LAST);
  peer.send(ok("answer"));
  await within(client.ended, "the end");
  const seen = upstream.seen().map(({ target }) => target);
  expect([["/h2c"], ["/h2c", "/next", "/last"]]).toContainEqual(seen);
  expect(statuses(client.received())).toHaveLength(seen.length);
  expect(client.received()).toContain("\r\nConnection: close\r\n");
  await expectUnharmed(daemon);
});

test("pipelined requests are answered in order", async () => {
  const waiting: (() => void)[] = [];
  const { daemon, upstream } = await recorded((request, peer) => {
    if (request.target !== "/slow") return undefined;
    waiting.push(() => peer.send(ok("slow")));
    return "";
  });
  const client = await dial(daemon.port);
  client.send(head("GET /slow HTTP/1.1", "Host: a") + head("GET /quick HTTP/1.1", "Host: a"));
  client.send(head("POST /post HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunked(EVIL) + LAST);
  const answer = await until(() => waiting[0], "the slow request");
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/slow"]);
  answer();
  await within(client.ended, "the end");
  expect(
    client
      .received()
      .match(/\r\n\r\n(slow|[A-Z]+ \/\w+)/g)
      ?.map((body) => body.trim()),
  ).toEqual(["slow", "GET /quick", "POST /post", "GET /last"]);
  expect(upstream.seen().map(({ body }) => body)).toEqual(["", "", EVIL, ""]);
});

test.each([
  ["Connection: close", ["Connection: close"], "GET", ""],
  ["two hosts", ["Host: b"], "GET", ""],
  ["an unknown coding", ["Transfer-Encoding: gzip, chunked"], "POST", chunked("hello")],
  ["an expectation nobody confirmed", ["Expect: 100-continue", "Content-Length: 5"], "POST", "hello"],
])(
  "nothing is done of what is pipelined behind the last answer of a connection: %s",
  async (_, fields, method, body) => {
    const { daemon, upstream } = await recorded();
    // Leaves a pooled connection behind, so that nothing has to be dialled for a request that should not be made.
    await expectUnharmed(daemon);
    const client = await dial(daemon.port);
    client.send(head(`${method} /first HTTP/1.1`, "Host: a", ...fields) + body + EVIL);
    await within(client.ended, "the end");
    expect(statuses(client.received())).toHaveLength(1);
    await expectUnharmed(daemon);
    expect(upstream.seen().map(({ target }) => target)).not.toContain("/evil");
  },
);

test("nothing is said on stderr: no deprecation, no warning", async () => {
  const { daemon } = await recorded((request) =>
    request.target === "/mux"
      ? head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
      : undefined,
  );
  const plain = await dial(daemon.port);
  plain.send(head("POST /plain HTTP/1.1", "Host: a", "Content-Length: 5") + "hello");
  await plain.readUntil("POST /plain");
  const tunnel = await dial(daemon.port);
  tunnel.send(upgrade("/mux"));
  await tunnel.readUntil("101 Switching Protocols");
  const h2c = await dial(daemon.port);
  h2c.send(head("GET /h2c HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: h2c"));
  await h2c.readUntil("GET /h2c");
  tunnel.reset();
  await expectUnharmed(daemon);
  expect(await daemon.stop()).toBe(0);
  expect(daemon.stderr()).toBe("");
});
