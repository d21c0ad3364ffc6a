// Error answers to plain requests: status, shape of the body, and no internal detail.

import { describe, expect, test } from "vitest";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, endOf, nextResponse, type WireResponse } from "../kit/messages.ts";
import { deadPort, rawUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

const GET = head("GET / HTTP/1.1", "Host: a");

/** Checks everything that all answers have in common. Returns the `error` of the body. */
function own(response: WireResponse, status: number, code: string, more: Record<string, unknown> = {}): void {
  expect(response.status).toBe(status);
  expect(response.field("content-type")).toBe("application/json");
  expect(response.field("cache-control")).toBe("no-store");
  expect(response.field("retry-after") !== undefined).toBe(status === 503);
  const { error, ...others } = JSON.parse(response.body) as { error: Record<string, unknown> };
  expect(others).toEqual({});
  expect(error).toMatchObject({ code, status, ...more });
  expect(error["message"]).toMatch(/^[A-Z].*\.$/);
  expect(error["id"]).toMatch(/^\S+$/);
  expect(typeof error["attempts"]).toBe("number");
  expect(Object.keys(error).filter((key) => !/^(code|status|message|upstream|attempts|id)$/.test(key))).toEqual([]);
  expect(response.raw).not.toMatch(
    /127\.0\.0\.1|localhost|ECONN|EPIPE|HPE_|Parse Error|node:|\.js\b|\.ts\b|stack|\bat \S+:\d/,
  );
}

test.each([
  ["bytes that are no HTTP", "BLAH\r\n\r\n"],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
  ["no Host", head("GET / HTTP/1.1")],
  ["two Hosts", head("GET / HTTP/1.1", "Host: a", "Host: b")],
  ["a Host with a path", head("GET / HTTP/1.1", "Host: a/b")],
  ["raw high bytes in the target", head("GET /\xc3\xa9 HTTP/1.1", "Host: a")],
  ["a Content-Length that is no number", head("POST / HTTP/1.1", "Host: a", "Content-Length: 1x")],
  [
    "a Content-Length beside Transfer-Encoding",
    head("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"),
  ],
  ["a transfer coding other than chunked", head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked")],
  ["a space in front of a colon", head("GET / HTTP/1.1", "Host : a")],
  ["a NUL in a field", head("GET / HTTP/1.1", "Host: a", "X: a\0b")],
])("400 for %s, and the connection ends", async (_, bytes) => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--mux", `${up.port}/mux`]);
  const client = await dial(daemon.port);
  client.send(bytes);
  own(await nextResponse(client), 400, "bad_request");
  expect(await endOf(client)).toBe("fin");
  expect(up.accepted).toHaveLength(0);
});

test("400 for a body whose chunks are none, and the upstream's connection ends", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  client.send(`${head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}5\r\nhello\r\n`);
  const peer = await up.next();
  await peer.readUntil("hello");
  client.send("xyz\r\n");
  own(await nextResponse(client), 400, "bad_request");
  await endOf(peer);
  expect(peer.received()).not.toContain("\r\n0\r\n\r\n");
});

test.each([
  ["a little", 1024],
  ["much", 4 * 1024 * 1024],
])("431 for a header block %s above the limit", async (_, above) => {
  const daemon = await startDaemon(["--http", String(await deadPort())]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.1", "Host: a", `Cookie: ${"c".repeat(32 * 1024 + above)}`));
  own(await nextResponse(client), 431, "header_too_large");
  expect(await endOf(client)).toBe("fin");
});

test("405 for CONNECT, with the methods that are allowed", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort())]);
  const response = await ask(daemon.port, head("CONNECT a:443 HTTP/1.1", "Host: a:443"));
  own(response, 405, "method_not_allowed");
  expect(response.field("allow")).toMatch(/^GET, HEAD, POST/);
});

test("403 for a page of another origin, or by a foreign name, that opens a mux", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--mux", `${up.port}/mux`]);
  own(await ask(daemon.port, upgrade("/mux", "Origin: https://evil.example")), 403, "origin_not_allowed");
  const rebound = upgrade("/mux", "Origin: http://evil.example").replace("Host: localhost", "Host: evil.example");
  own(await ask(daemon.port, rebound), 403, "host_not_allowed");
  expect(up.accepted).toHaveLength(0);
});

test("404 for a terminal where no mux is given, and not the silence of the web server", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  own(await ask(daemon.port, upgrade("/ao-terminal-mux?session=1")), 404, "no_mux");
  const line = await daemon.logged(({ error }) => error === "no_mux", "the refusal");
  expect(line["what"]).toBe("refused: the client asked for the terminal mux, and no --mux is given");
  expect(up.accepted).toHaveLength(0);
});

test("503 at once with --hold 0 when nobody listens, after one attempt", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort()), "--hold", "0"]);
  const client = await dial(daemon.port);
  client.send(GET);
  own(await nextResponse(client), 503, "upstream_unavailable", { upstream: "http", attempts: 1 });
  // Such a connection is kept: the next request may find the upstream there.
  client.send(GET);
  own(await nextResponse(client), 503, "upstream_unavailable");
});

test("503 for a browser is a page that needs nothing from anywhere, and may not load it", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort()), "--hold", "0"]);
  const page = await ask(daemon.port, head("GET / HTTP/1.1", "Host: a", "Accept: text/html,*/*;q=0.8"));
  expect([page.status, page.field("content-type")]).toEqual([503, "text/html; charset=utf-8"]);
  expect([page.field("cache-control"), page.field("retry-after"), page.field("vary")]).toEqual([
    "no-store",
    "1",
    "Accept",
  ]);
  expect(page.field("content-security-policy")).toMatch(/^default-src 'none'; /);
  expect(page.body).toMatch(/^<!doctype html>[^]*503 upstream_unavailable[^]*<\/html>\n$/);
  // Its icons stand in the page itself, and the name of their language looks like an address.
  const bare = page.raw.replaceAll(/data:image\/svg\+xml,<svg xmlns='[^']*'/g, "").replace('<link rel="icon"', "");
  expect(bare).not.toMatch(/127\.0\.0\.1|ECONN|https?:\/\/| src=|<link/);
});

test("503 when the hold is over, with every attempt counted", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort()), "--hold", "600ms"]);
  const response = await ask(daemon.port, GET);
  own(response, 503, "upstream_unavailable", { upstream: "http" });
  const { attempts } = (JSON.parse(response.body) as { error: { attempts: number } }).error;
  // More than one; how many fit into the hold depends on the load of the machine.
  expect(attempts).toBeGreaterThanOrEqual(2);
  const line = await daemon.logged(({ status }) => status === 503, "the exchange");
  expect(line["attempts"]).toEqual([
    { reused: false, idleMs: 0, code: "ECONNREFUSED", phase: "connect", times: attempts },
  ]);
});

test("503 names the mux that is not there", async () => {
  const daemon = await startDaemon(["--http", "1", "--mux", `${await deadPort()}/mux`, "--hold", "0"]);
  own(await ask(daemon.port, upgrade("/mux")), 503, "upstream_unavailable", { upstream: "mux", attempts: 1 });
});

test.each([
  ["POST", 1],
  ["GET", 3],
])("502 when the upstream resets before it answers: %s is tried %i times", async (method, attempts) => {
  const up = await rawUpstream((peer) => peer.socket.once("data", () => peer.reset()));
  const daemon = await startDaemon(["--http", String(up.port)]);
  const response = await ask(daemon.port, head(`${method} / HTTP/1.1`, "Host: a", "Content-Length: 0"));
  own(response, 502, "upstream_reset", { upstream: "http", attempts });
  expect(up.accepted).toHaveLength(attempts);
});

test.each([
  ["no HTTP", "BLAH BLAH\r\n\r\n"],
  ["status 000", head("HTTP/1.1 000 Nothing", "Content-Length: 0")],
  ["a control byte in the reason", head("HTTP/1.1 200 O\x01K", "Content-Length: 0")],
  ["a transfer coding nobody knows", head("HTTP/1.1 200 OK", "Transfer-Encoding: cow")],
  ["chunked twice", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked, chunked")],
  ["two lengths", head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2")],
  ["101 that nobody asked for", head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: upgrade")],
])("502 for an answer that is nonsense: %s", async (_, answer) => {
  const up = await rawUpstream((peer) => peer.socket.once("data", () => peer.send(answer)));
  const daemon = await startDaemon(["--http", String(up.port)]);
  own(await ask(daemon.port, GET), 502, "upstream_bad_response", { upstream: "http", attempts: 1 });
  await endOf(up.accepted[0]!);
});

test("504 when the upstream takes too long to answer", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--response-timeout", "200ms"]);
  own(await ask(daemon.port, GET), 504, "upstream_timeout", { upstream: "http", attempts: 1 });
  await endOf(up.accepted[0]!);
});

test("408 when a request's head takes too long", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort()), "--headers-timeout", "200ms"]);
  const client = await dial(daemon.port);
  client.send("GET / HTTP/1.1\r\nHos");
  own(await nextResponse(client), 408, "request_timeout");
  expect(await endOf(client)).toBe("fin");
});

test("503 above --max-held, at once; the one that is held stays held", async () => {
  const port = await deadPort();
  const daemon = await startDaemon(["--http", String(port), "--max-held", "1", "--hold", "1m"]);
  const held = await dial(daemon.port);
  held.send(GET);
  // Whoever of the two comes second is the one too many.
  const second = await dial(daemon.port);
  second.send(GET);
  const refused = await Promise.race([nextResponse(held), nextResponse(second)]);
  own(refused, 503, "too_many", { upstream: "http" });
  await rawUpstream((peer) => peer.send(head("HTTP/1.1 204 No Content")), port);
  await until(() => held.received().includes("204") || second.received().includes("204"), "the held one's answer");
});

test("503 above --max-connections, and the others go on", async () => {
  const up = await rawUpstream((peer) => {
    peer.socket.on("data", () => peer.send(head("HTTP/1.1 204 No Content")));
  });
  const daemon = await startDaemon(["--http", String(up.port), "--max-connections", "1"]);
  const first = await dial(daemon.port);
  first.send(GET);
  expect((await nextResponse(first)).status).toBe(204);
  const second = await dial(daemon.port);
  own(await nextResponse(second), 503, "too_many");
  expect(await endOf(second)).toBe("fin");
  first.send(GET);
  expect((await nextResponse(first)).status).toBe(204);
});

test("503 above --max-tunnels", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--mux", `${up.port}/mux`, "--max-tunnels", "0"]);
  own(await ask(daemon.port, upgrade("/mux")), 503, "too_many");
});

test("503 for what is still held when the drain is over, and exit 0", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort()), "--hold", "1m", "--drain", "300ms"]);
  const clients: RawClient[] = [];
  for (const bytes of [GET, `${head("POST / HTTP/1.1", "Host: a", "Content-Length: 4")}body`]) {
    const client = await dial(daemon.port);
    client.send(bytes);
    clients.push(client);
  }
  // An answered third tells that the first two have been read.
  await ask(daemon.port, head("CONNECT a:1 HTTP/1.1", "Host: a:1"));
  const stopped = daemon.stop();
  for (const client of clients) {
    const response = await nextResponse(client);
    own(response, 503, "draining", { upstream: "http" });
    expect(response.field("connection")).toBe("close");
    expect(await endOf(client)).toBe("fin");
  }
  expect(await stopped).toBe(0);
});

describe("a 400 says what was wrong, to the client and in the log", () => {
  const cases: [string, Buffer | string, string][] = [
    ["two hosts", head("GET / HTTP/1.1", "Host: a", "Host: b"), "two Host fields"],
    ["no host", head("GET / HTTP/1.1"), "no Host field"],
    [
      "another coding",
      head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"),
      "Transfer-Encoding: gzip, chunked",
    ],
    ["RTSP", head("ANNOUNCE /x RTSP/1.0", "CSeq: 1"), "the method ANNOUNCE"],
    [
      "an invalid length",
      head("POST / HTTP/1.1", "Host: a", "Content-Length: x"),
      "bytes that break HTTP (Invalid character in Content-Length)",
    ],
    ["TLS", Buffer.from("16030100050100000100", "hex"), "a TLS handshake"],
    [
      "a body that breaks while its request waits",
      `${head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}x\r\n`,
      "bytes that break HTTP (Invalid character in chunk size)",
    ],
  ];

  test.each(cases)("%s", async (_, bytes, seen) => {
    const daemon = await startDaemon(["--http", "1"]);
    const client = await dial(daemon.port);
    client.send(bytes);
    const { status, body } = await nextResponse(client);
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ error: { message: expect.stringContaining(` Received: ${seen}.`) } });
    const line = await daemon.logged(({ what }) => String(what).startsWith("refused: received"), "the refusal");
    expect(line["what"]).toContain(`refused: received ${seen}, accepted is `);
    expect(line["client"]).toBe("127.0.0.1");
  });
});
