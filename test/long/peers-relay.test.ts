// Behaviours that other suites test in a conversation: Go's httputil and net/http, nginx-tests (proxy, keepalive,
// upgrade, next_upstream, half_close, request_buffering), httpxy and @fastify/reply-from. Where ours differs, the name
// or a comment says why. What has a file of its own here is not repeated: retries (e2e/retry), early answers
// (plain-early), the order of fields (plain-headers), shutdowns (e2e/drain, tunnel-drain), interim answers
// (plain-interim).

import { expect, test } from "vitest";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, nextResponse, requestHead } from "../kit/messages.ts";
import { expectUnharmed, ok, recorded, statuses } from "../kit/recording.ts";
import { valuesOf } from "../kit/strict.ts";
import { openRaw, SWITCHING } from "../kit/tunnel.ts";
import { deadPort, rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const SECRET = head("GET /secret HTTP/1.1", "Host: a");

/**
 * A server that does not read bodies: what stands behind a head is the next request. It stops behind `Connection:
 * close`, as such servers do. What it takes for requests is returned.
 */
async function carelessServer(): Promise<{ port: number; seen: string[]; connections: RawClient[] }> {
  const seen: string[] = [];
  const { port, accepted } = await rawUpstream((peer) => {
    let at = 0;
    peer.socket.on("end", () => peer.halfClose());
    peer.socket.on("data", () => {
      for (;;) {
        const end = peer.received().indexOf("\r\n\r\n", at);
        if (end < 0 || peer.socket.writableEnded) return;
        const request = peer.received().slice(at, end);
        at = end + 4;
        seen.push(request.slice(0, request.indexOf(" HTTP")));
        peer.send(request.startsWith("HEAD") ? head("HTTP/1.1 200 OK") : ok("ok"));
        if (/^connection:.*close/im.test(request)) peer.halfClose();
      }
    });
  });
  return { port, seen, connections: accepted };
}

test("httpxy: what a server that does not read bodies takes for a request is none, or answers nobody", async () => {
  const { port, seen, connections } = await carelessServer();
  const daemon = await startDaemon(["--http", String(port)]);
  const length: [string, string] = [`Content-Length: ${SECRET.length}`, SECRET];
  const chunks: [string, string] = [
    "Transfer-Encoding: chunked",
    `${SECRET.length.toString(16)}\r\n${SECRET}\r\n0\r\n\r\n`,
  ];
  const become = async (method: string, [field, body]: [string, string]): Promise<string[]> => {
    const client = await dial(daemon.port);
    client.send(head(`${method} /x HTTP/1.1`, "Host: a", field) + body);
    expect((await nextResponse(client, method)).status).toBe(200);
    await expectUnharmed(daemon);
    client.reset();
    return seen.splice(0);
  };
  for (const method of ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]) {
    for (const kind of [length, chunks]) {
      expect(await become(method, kind), `${method} with ${kind[0]}`).toEqual([`${method} /x`, "GET /alive"]);
    }
  }
  // httpxy says `Connection: close` here, too, and loses early answers to large uploads by it (plain-early).
  for (const method of ["POST", "PUT", "PATCH"]) {
    const others = (await become(method, chunks)).filter((request) => /\/(x|alive)$/.test(request));
    expect(others).toEqual([`${method} /x`, "GET /alive"]);
    const its = connections.find((peer) => peer.received().startsWith(`${method} /x`));
    expect(its?.received()).not.toContain("GET /alive");
  }
});

test("Go: a request goes up as it is, and nothing is added but what says who sent it", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(head("GET /x?us=er&a=1;b=2 HTTP/1.1", "Host: some-name", "X-Forwarded-For: 192.0.2.7"));
  await nextResponse(client);
  const [request] = upstream.seen();
  const names = request?.fields.map(([name]) => name).toSorted();
  // No User-Agent of our own, no length, no Accept-Encoding.
  expect(names).toEqual(["Connection", "Host", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"]);
  expect(valuesOf(request?.fields ?? [], "host")).toEqual(["some-name"]);
  expect(valuesOf(request?.fields ?? [], "x-forwarded-for")).toEqual(["192.0.2.7, 127.0.0.1"]);
});

test("Go, reply-from: fields that Connection names go, in both directions, and so do its empty elements", async () => {
  const { daemon, upstream } = await recorded(({ target }) =>
    target === "/x" ? ok("hello", "Connection: x-one, , X-Two,", "X-One: 1", "x-two: 2", "X-Three: 3") : undefined,
  );
  const client = await dial(daemon.port);
  const sent = ["Connection: ,", "Connection: X-One,, x-two ,", "x-one: 1", "X-Two: 2", "X-Three: 3", "X-One: again"];
  client.send(head("GET /x HTTP/1.1", "Host: a", ...sent));
  const answer = await nextResponse(client);
  const named = (fields: readonly [string, string][]): string[] =>
    fields.flatMap(([name, value]) => (/^x-(one|two|three)$/i.test(name) ? [`${name}: ${value}`] : []));
  expect(named(upstream.seen()[0]?.fields ?? [])).toEqual(["X-Three: 3"]);
  expect(named(answer.fields)).toEqual(["X-Three: 3"]);
});

test("Go: trailers pass, announced or not, and `Trailers` is a field like any other", async () => {
  const { daemon } = await recorded(({ target }) => {
    const fields = ["Trailers: not a special field", "Trailer: X-Trailer", "Transfer-Encoding: chunked"];
    const trailers = "X-Trailer: trailer_value\r\nX-Unannounced-Trailer: unannounced_trailer_value\r\n";
    return target === "/x" ? `${head("HTTP/1.1 404 Not Found", ...fields)}2\r\nok\r\n0\r\n${trailers}\r\n` : undefined;
  });
  const answer = await ask(daemon.port, head("GET /x HTTP/1.1", "Host: a", "TE: trailers"));
  expect(answer).toMatchObject({ status: 404, body: "ok" });
  expect(answer.all("trailers")).toEqual(["not a special field"]);
  expect(answer.trailers).toEqual([
    ["X-Trailer", "trailer_value"],
    ["X-Unannounced-Trailer", "unannounced_trailer_value"],
  ]);
});

test("Go: the fields of an interim answer are not those of the final one", async () => {
  const { daemon } = await recorded(({ target }) =>
    target === "/x"
      ? head("HTTP/1.1 103 Early Hints", "Link: </a.css>", "X-Early: 1") + ok("hello", "X-Late: 1")
      : undefined,
  );
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", "Host: a"));
  const hints = await nextResponse(client);
  const answer = await nextResponse(client);
  expect([hints.field("link"), hints.field("x-early")]).toEqual(["</a.css>", "1"]);
  expect([answer.field("link"), answer.field("x-early"), answer.field("x-late")]).toEqual([undefined, undefined, "1"]);
});

test("nginx: ranges, errors, cookies and redirects of the upstream are its own, byte for byte", async () => {
  // nginx can answer ranges, put pages of its own in place of errors, and rewrite the last two, when it is told to.
  const answers: Record<string, string> = {
    "/range":
      head("HTTP/1.1 206 Partial Content", "Content-Range: bytes 4-8/100", 'ETag: "x"', "Content-Length: 5") + "SEE-T",
    "/beyond": head("HTTP/1.1 416 Range Not Satisfiable", "Content-Range: bytes */100", "Content-Length: 0"),
    "/error": head("HTTP/1.1 500 Oops", "Content-Length: 4") + "mine",
    "/busy": head("HTTP/1.1 503 Service Unavailable", "Retry-After: 7", "Content-Length: 0"),
    "/moved": head(
      "HTTP/1.1 302 Found",
      "Location: http://127.0.0.1:4000/x",
      "Set-Cookie: a=b; Domain=x; Path=/y",
      "Content-Length: 0",
    ),
  };
  const { daemon, upstream } = await recorded(({ target }) => answers[target]);
  for (const [target, sent] of Object.entries(answers)) {
    const client = await dial(daemon.port);
    client.send(head(`GET ${target} HTTP/1.1`, "Host: a", "Range: bytes=4-8", 'If-Range: "x"'));
    const answer = await nextResponse(client);
    const lines = sent.slice(0, sent.indexOf("\r\n\r\n")).split("\r\n");
    expect(answer.raw.split("\r\n"), target).toEqual(expect.arrayContaining(lines));
    const [request] = upstream.seen().slice(-1);
    expect(valuesOf(request?.fields ?? [], "range")).toEqual(["bytes=4-8"]);
    expect(valuesOf(request?.fields ?? [], "if-range")).toEqual(['"x"']);
  }
  // reply-from asks again behind a 503. It is an answer, and the client knows best whether to repeat.
  expect(upstream.seen().filter(({ target }) => target === "/busy")).toHaveLength(1);
});

test("nginx: what may be sent again is, when its connection breaks before an answer; POST, PATCH and LOCK are not", async () => {
  const broken = new Set<string>();
  const { daemon, upstream } = await recorded(({ method, target }, peer) => {
    if (target !== "/x" || broken.has(method)) return undefined;
    broken.add(method);
    peer.halfClose();
    return "";
  });
  const of = async (method: string): Promise<number> =>
    (await ask(daemon.port, head(`${method} /x HTTP/1.1`, "Host: a"))).status;
  const times = (method: string): number =>
    upstream.seen().filter((request) => request.method === method && request.target === "/x").length;
  for (const method of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
    expect([await of(method), times(method)], method).toEqual([200, 2]);
  for (const method of ["POST", "PATCH", "LOCK"]) expect([await of(method), times(method)], method).toEqual([502, 1]);
});

test("Go, httpxy, reply-from: a client that leaves ends its request upstream, in each phase, and hears of no answer", async () => {
  const { daemon, upstream } = await recorded(({ target }) => (target.startsWith("/hang") ? "" : undefined));
  const leaves: ((client: RawClient) => void)[] = [(client) => client.reset(), (client) => client.halfClose()];
  for (const [n, leave] of leaves.entries()) {
    const waits = await dial(daemon.port);
    waits.send(head(`GET /hang/${n} HTTP/1.1`, "Host: a"));
    const asked = await upstream.asked(`/hang/${n}`);
    leave(waits);
    await within(asked.ended, "the request to end");

    const reads = await dial(daemon.port);
    reads.send(head(`GET /hang/body/${n} HTTP/1.1`, "Host: a"));
    const answering = await upstream.asked(`/hang/body/${n}`);
    answering.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream") + "data: 1\n\n");
    await reads.readUntil("data: 1");
    leave(reads);
    await within(answering.ended, "the stream to end");
  }
  await expectUnharmed(daemon);
});

test("Go, httpxy: an upstream that ends a stream ends it for the client, at once and so that it looks cut", async () => {
  const { daemon, upstream } = await recorded(({ target }) => (target.startsWith("/events") ? "" : undefined));
  for (const how of ["fin", "rst"] as const) {
    const client = await dial(daemon.port);
    client.send(head(`GET /events/${how} HTTP/1.1`, "Host: a"));
    const peer = await upstream.asked(`/events/${how}`);
    peer.send(
      head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked") + "9\r\ndata: 1\n\n\r\n",
    );
    await client.readUntil("data: 1");
    if (how === "fin") peer.halfClose();
    else peer.reset();
    await within(client.ended, "the client's stream to end");
    expect(client.received()).not.toMatch(/\r\n0\r\n\r\n$/);
  }
});

test("Go: a POST of a megabyte arrives whole, with its length, and its answer comes back", async () => {
  const { daemon, upstream } = await recorded();
  const body = "a".repeat(1 << 20);
  const answer = await ask(daemon.port, head("POST /x HTTP/1.1", "Host: a", `Content-Length: ${body.length}`) + body);
  expect(answer).toMatchObject({ status: 200, body: "POST /x\n" });
  expect(upstream.seen().map((request) => [request.body === body, request.chunked])).toEqual([[true, false]]);
});

test("reply-from: an upload whose upstream is not there, or says nothing, has its answer and a connection that is over or usable", async () => {
  const nobody = await startDaemon(["--http", String(await deadPort()), "--hold", "0"]);
  const client = await dial(nobody.port);
  client.send(head("POST /x HTTP/1.1", "Host: a", "Content-Length: 5") + "hello");
  expect((await nextResponse(client)).status).toBe(503);
  client.send(head("GET /y HTTP/1.1", "Host: a"));
  expect((await nextResponse(client)).status).toBe(503);
  const mute = await rawUpstream();
  const daemon = await startDaemon(["--http", String(mute.port), "--response-timeout", "300ms"]);
  expect((await ask(daemon.port, head("POST /x HTTP/1.1", "Host: a", "Content-Length: 5") + "hello")).status).toBe(504);
});

test("httpxy: an empty Host passes; X-Forwarded-* of a front are not replaced", async () => {
  const { daemon, upstream } = await recorded();
  const claims = [
    "X-Forwarded-For: 192.0.2.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: dash.example",
    "X-Forwarded-Port: 443",
  ];
  expect((await ask(daemon.port, head("GET /x HTTP/1.1", "Host: ", ...claims))).status).toBe(200);
  const fields = upstream.seen()[0]?.fields ?? [];
  const values = ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"].map((name) =>
    valuesOf(fields, name),
  );
  expect(values).toEqual([[""], ["192.0.2.7, 127.0.0.1"], ["https"], ["dash.example"], ["443"]]);
});

/** A daemon before a mux by the byte. */
async function beforeMux(): Promise<{
  daemon: Awaited<ReturnType<typeof startDaemon>>;
  mux: Awaited<ReturnType<typeof rawUpstream>>;
}> {
  const mux = await rawUpstream();
  const daemon = await startDaemon(["--http", String(mux.port), "--mux", `${mux.port}/mux`]);
  return { daemon, mux };
}

test("nginx, httpxy: bytes behind the upgrade, sent with it, arrive; so do large and small ones by turns", async () => {
  const { daemon, mux } = await beforeMux();
  const client = await dial(daemon.port);
  client.send(upgrade("/mux") + "foo");
  const peer = await mux.next();
  await requestHead(peer);
  peer.send(`${SWITCHING}handshaked`);
  await client.readUntil("\r\n\r\nhandshaked");
  await peer.readUntil("\r\n\r\nfoo");
  const sent = Array.from({ length: 10 }, (_, n) => `${"foo".repeat(16_384)}${n}bazz${n}`).join("");
  client.send(sent);
  await until(() => peer.received().endsWith(sent), "all of it");
  peer.send(sent);
  await until(() => client.received().endsWith(sent), "all of it, back");
});

test("Go, nginx: in a tunnel each side may half-close, and hears the other to its end", async () => {
  const { daemon, mux } = await beforeMux();
  const first = await openRaw(daemon, mux);
  first.mux.send("the last of the mux");
  first.mux.halfClose();
  await within(first.client.ended, "the mux's FIN");
  first.client.send("still heard");
  await first.mux.readUntil("still heard");
  const second = await openRaw(daemon, mux);
  second.client.send("the last of the client");
  second.client.halfClose();
  await within(second.mux.ended, "the client's FIN");
  second.mux.send("still heard");
  await second.client.readUntil("still heard");
});

test("Go: a client that leaves its tunnel with a RST ends it for the mux", async () => {
  const { daemon, mux } = await beforeMux();
  const tunnel = await openRaw(daemon, mux);
  tunnel.client.reset();
  await within(tunnel.mux.ended, "the tunnel to end");
  await expectUnharmedMux(daemon);
});

async function expectUnharmedMux(daemon: Awaited<ReturnType<typeof startDaemon>>): Promise<void> {
  expect(daemon.child.exitCode).toBeNull();
  expect(daemon.stderr()).toBe("");
}

const ANSWERS: [name: string, answer: string, status: number][] = [
  [
    "another protocol than was asked for",
    head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: other"),
    502,
  ],
  ["no protocol", head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade"), 502],
  ["one of control bytes", head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: a\x01b"), 502],
  ["the protocol in another case", SWITCHING.replace("websocket", "WebSocket"), 101],
  ["cookies, all of which pass", SWITCHING.replace("\r\n", "\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n"), 101],
  ["a refusal, with its body", head("HTTP/1.1 403 Forbidden", "X-Why: because", "Content-Length: 4") + "nope", 403],
  [
    "a refusal in chunks",
    `${head("HTTP/1.1 401 Unauthorized", "Transfer-Encoding: chunked")}4\r\nnope\r\n0\r\n\r\n`,
    401,
  ],
  ["an ordinary answer", ok("hello"), 200],
];

test("Go, httpxy: how an upgrade may be answered, and how not", async () => {
  const { daemon, mux } = await beforeMux();
  for (const [name, answer, status] of ANSWERS) {
    const client = await dial(daemon.port);
    client.send(upgrade("/mux"));
    const peer = await mux.next();
    await requestHead(peer);
    peer.send(answer);
    await until(() => statuses(client.received()).length > 0, `an answer: ${name}`);
    expect(statuses(client.received()), name).toEqual([status]);
    if (status !== 101) await within(client.ended, `the connection to end: ${name}`);
    if (status === 403) expect(client.received()).toMatch(/\r\nX-Why: because\r\n[^]*\r\n\r\nnope$/);
    if (answer.includes("Set-Cookie")) expect(client.received()).toMatch(/\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n/);
    client.reset();
  }
  await expectUnharmedMux(daemon);
});

test("httpxy: a client that has left before its upgrade is answered harms nobody, whatever the answer", async () => {
  const { daemon, mux } = await beforeMux();
  for (const answer of [SWITCHING, ok("hello"), head("HTTP/1.1 403 Forbidden", "Content-Length: 100") + "cut"]) {
    const client = await dial(daemon.port);
    client.send(upgrade("/mux"));
    const peer = await mux.next();
    await requestHead(peer);
    client.reset();
    await within(peer.ended, "the handshake to be given up");
    peer.send(answer);
    peer.reset();
  }
  await expectUnharmedMux(daemon);
});
