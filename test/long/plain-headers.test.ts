import { connect } from "node:net";
import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, nextResponse, requestHead } from "../kit/messages.ts";
import { rawUpstream, type RawUpstream } from "../kit/upstream.ts";

const EMPTY = head("HTTP/1.1 200 OK", "Content-Length: 0");

/** An upstream that answers every request at once, with `answer`. */
async function answering(answer: string = EMPTY): Promise<RawUpstream> {
  return await rawUpstream((peer) => {
    peer.socket.on("data", () => peer.received().endsWith("\r\n\r\n") && peer.send(answer));
  });
}

/** The request fields the upstream got. */
async function fieldsAt(up: RawUpstream, index = 0): Promise<[string, string][]> {
  return (await requestHead(up.accepted[index]!)).fields;
}

/** The fields of the last request, on whichever connection it came. */
function lastFields(up: RawUpstream): [string, string][] {
  const received = up.accepted.at(-1)?.received() ?? "";
  const lines = received.slice(received.lastIndexOf(" HTTP/1.1\r\n")).split("\r\n").slice(1, -2);
  return lines.map((line) => line.split(/: (.*)/s, 2) as [string, string]);
}

function value(fields: [string, string][], name: string): string | undefined {
  const values = fields.filter(([one]) => one === name).map(([, text]) => text);
  return values.length > 0 ? values.join(" | ") : undefined;
}

test("request fields keep their order, case and duplicates, and a field named __proto__", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const sent = [
    "hOST: a.example:80",
    "x-One: 1",
    "X-TWO: 2",
    "x-one: again",
    "__proto__: p",
    'cookie: a=b; c="d"',
    "Cookie: e=f",
    "Accept:",
    "constructor: c",
  ];
  await ask(daemon.port, head("GET / HTTP/1.1", ...sent));
  const got = (await fieldsAt(up)).map(([name, text]) => `${name}: ${text}`.trimEnd());
  expect(got.slice(0, sent.length)).toEqual(sent);
});

test("response fields keep their order, case and duplicates, Set-Cookie above all", async () => {
  const sent = [
    "Server: x",
    "set-cookie: a=1; Path=/",
    "X-Odd:  two  words",
    "Set-Cookie: b=2",
    "SET-COOKIE: c=3, d",
    "Date: Thu, 01 Jan 1970 00:00:00 GMT",
    "__proto__: p",
    'ETag: W/"1"',
    "Content-Length: 0",
  ];
  const up = await answering(head("HTTP/1.1 299 Odd Reason", ...sent));
  const daemon = await startDaemon(["--http", String(up.port)]);
  const response = await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"));
  expect([response.status, response.reason]).toEqual([299, "Odd Reason"]);
  const got = response.fields.filter(([name]) => !/^(connection|keep-alive)$/i.test(name));
  expect(got).toEqual(sent.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
});

test("raw UTF-8 in Content-Disposition comes through unchanged, whatever follows the head", async () => {
  const bytes = Buffer.from('attachment; filename="naïve – 文件.txt"').toString("latin1");
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const framings: [string, string][] = [
    ["Content-Length: 2", "hi"],
    ["Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"],
  ];
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  const peer = await up.next();
  for (const [index, [framing, body]] of framings.entries()) {
    // An answer before its request would be one that nobody asked for.
    await peer.readUntil(new RegExp(`(GET / [^]*){${index + 1}}\r\n\r\n$`));
    // The head alone: its body must not be waited for.
    peer.send(head("HTTP/1.1 200 OK", framing, `Content-Disposition: ${bytes}`));
    await client.readUntil(/\r\n\r\n$/);
    peer.send(body);
    const response = await nextResponse(client);
    expect(response.all("content-disposition")).toEqual([bytes]);
    expect(response.body).toBe("hi");
    client.send(head("GET / HTTP/1.1", "Host: a"));
  }
  // Head and body in one piece.
  await peer.readUntil(/(GET \/ [^]*){3}\r\n\r\n$/);
  peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 2", `Content-Disposition: ${bytes}`)}hi`);
  expect((await nextResponse(client)).all("content-disposition")).toEqual([bytes]);
});

test.each([
  ["with a body", []],
  ["with a body that waits for 100", ["Expect: 100-continue"]],
])("raw bytes in request fields come through unchanged in front of a request %s", async (_, extra) => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", "X-Name: \xe4\xc3\xa9\xff", ...extra, "Content-Length: 2"));
  expect(value((await requestHead(await up.next())).fields, "X-Name")).toBe("\xe4\xc3\xa9\xff");
});

test("hop-by-hop fields and those named in Connection go, in both directions", async () => {
  const up = await answering(
    head(
      "HTTP/1.1 200 OK",
      "Connection: X-Hop, keep-alive",
      "X-Hop: 1",
      "Keep-Alive: timeout=77",
      "Proxy-Authenticate: Basic",
      "Upgrade: h2c",
      "X-Stays: 1",
      "Content-Length: 0",
    ),
  );
  const daemon = await startDaemon(["--http", String(up.port)]);
  const response = await ask(
    daemon.port,
    head(
      "GET / HTTP/1.1",
      "Host: a",
      "Connection: x-hop, TE, close",
      "X-Hop: 1",
      "TE: trailers",
      "Keep-Alive: 5",
      "Proxy-Connection: keep-alive",
      "Proxy-Authorization: Basic x",
      "X-Stays: 1",
    ),
  );
  const names = (await fieldsAt(up)).map(([name]) => name.toLowerCase());
  expect(names).toEqual([
    "host",
    "x-stays",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "via",
    "te",
    "connection",
  ]);
  expect(response.fields.map(([name]) => name.toLowerCase())).not.toContain("x-hop");
  expect(response.field("proxy-authenticate")).toBeUndefined();
  expect(response.field("upgrade")).toBeUndefined();
  expect(response.field("keep-alive") ?? "").not.toContain("77");
  expect(response.field("x-stays")).toBe("1");
});

const CLAIMS = [
  "X-Forwarded-For: 203.0.113.7, 198.51.100.1",
  "X-Forwarded-Proto: https",
  "X-Forwarded-Host: dash.example",
  "Forwarded: for=203.0.113.7",
  "X-Real-IP: 203.0.113.7",
  "CF-Connecting-IP: 203.0.113.7",
  "CF-Ray: abc-DUS",
  "X-Forwarded-Port: 443",
];

test("what a front on loopback says of the client is believed and appended to", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port)]);
  await ask(daemon.port, head("GET / HTTP/1.1", "Host: a:1", ...CLAIMS, "Via: 2 front"));
  const fields = await fieldsAt(up);
  expect(value(fields, "X-Forwarded-For")).toBe("203.0.113.7, 198.51.100.1, 127.0.0.1");
  expect(value(fields, "X-Forwarded-Proto")).toBe("https");
  expect(value(fields, "X-Forwarded-Host")).toBe("dash.example");
  for (const claim of CLAIMS.slice(3)) expect(fields.map(([n, v]) => `${n}: ${v}`)).toContain(claim);
  expect(value(fields, "Host")).toBe("a:1");
  expect(value(fields, "Via")).toMatch(/^2 front, 1\.1 single-port\b/);
});

test("a client that is not trusted cannot say who it is", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port), "--trust-proxy", "none"]);
  await ask(daemon.port, head("GET / HTTP/1.1", "Host: a:1", ...CLAIMS));
  const fields = await fieldsAt(up);
  expect(value(fields, "X-Forwarded-For")).toBe("127.0.0.1");
  expect(value(fields, "X-Forwarded-Proto")).toBe("http");
  expect(value(fields, "X-Forwarded-Host")).toBe("a:1");
  const names = fields.map(([name]) => name.toLowerCase());
  for (const name of ["forwarded", "x-real-ip", "cf-connecting-ip", "cf-ray", "x-forwarded-port"]) {
    expect(names).not.toContain(name);
  }
  const line = await daemon.logged(({ msg }) => msg === "request ended", "the request");
  expect(line["ray"]).toBeUndefined();
});

const FOR_FRONTS = [
  ["X-Client-IP", "X-Cluster-Client-IP", "Client-IP", "True-Client-IP", "Fastly-Client-IP", "X-Originating-IP"],
  ["X-Original-URL", "X-Rewrite-URL", "X-Original-Forwarded-For", "X-Forwarded", "X-Forwarded-Server", "X-Host"],
  ["Front-End-Https", "Remote-User", "X-WebAuth-User", "X-Auth-Request-Email", "Tailscale-User-Login", "CF-IPCountry"],
].flat();
const DISGUISED = [
  ["X_Forwarded_For", "x-forwarded_for", "X.Forwarded.For", "X!Forwarded-Host", "CF_Connecting_IP", "X_Real_IP"],
  ["X_Original_URL", "Fastly_Client_IP", "Remote_User", "Transfer_Encoding", "Content_Length", "Proxy_Authorization"],
  ["Max_Forwards"],
].flat();
const ANYBODY = [
  "X_Custom",
  "Content_Type",
  "X-Auth-Token",
  "Original-URL",
  "X-Originality",
  "Remote-Control",
  "Forward",
];

test("one table of what only a front may say; other spellings of that are nobody's", async () => {
  const up = await answering();
  const all = [...FOR_FRONTS, ...DISGUISED, ...ANYBODY];
  const fields = all.map((name) => `${name}: 203.0.113.7`);
  for (const [trusted, expected] of [
    ["loopback", [...ANYBODY, ...FOR_FRONTS]],
    ["none", ANYBODY],
  ] as const) {
    const daemon = await startDaemon(["--http", String(up.port), "--trust-proxy", trusted]);
    await ask(
      daemon.port,
      head("GET / HTTP/1.1", "Host: a:1", ...fields, "Connection: close, " + FOR_FRONTS.join(", ")),
    );
    const got = (await requestHead(up.accepted.at(-1)!)).fields.filter(([, value]) => value === "203.0.113.7");
    expect(got.map(([name]) => name)).toEqual(expected);
  }
});

test("trailers say nothing for a front either", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const trailers = [...FOR_FRONTS, ...DISGUISED, ...ANYBODY].map((name) => `${name}: 203.0.113.7\r\n`);
  const client = await dial(daemon.port);
  client.send(`${head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}0\r\n${trailers.join("")}\r\n`);
  const sent = await (await up.next()).readUntil(/\r\n0\r\n[^]*\r\n\r\n/);
  expect([...sent.matchAll(/^(.+): 203\.0\.113\.7\r$/gm)].map(([, name]) => name)).toEqual(ANYBODY);
});

test("nor can one that resets its connection before it is accepted", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port), "--trust-proxy", "none"]);
  // So that there is a connection on which the request could go up at once.
  await ask(daemon.port, head("GET / HTTP/1.1", "Host: a:1"));
  daemon.child.kill("SIGSTOP");
  const gone = await dial(daemon.port);
  gone.send(head("GET /gone HTTP/1.1", "Host: a:1", ...CLAIMS));
  gone.reset();
  daemon.child.kill("SIGCONT");
  expect((await ask(daemon.port, head("GET /next HTTP/1.1", "Host: a:1"))).status).toBe(200);
  const sent = up.accepted.map((peer) => peer.received()).join("");
  expect(sent).toContain("GET /next");
  for (const claim of CLAIMS) expect(sent).not.toContain(claim);
});

test("without claims of a front the proxy says what it sees itself", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port)]);
  await ask(daemon.port, head("GET / HTTP/1.1", "Host: a:1", "Connection: X-Forwarded-For, Via, Host"));
  const fields = await fieldsAt(up);
  expect(value(fields, "X-Forwarded-For")).toBe("127.0.0.1");
  expect(value(fields, "X-Forwarded-Proto")).toBe("http");
  expect(value(fields, "X-Forwarded-Host")).toBe("a:1");
  expect(value(fields, "Via")).toMatch(/^1\.1 single-port\b/);
  expect(value(fields, "Host")).toBe("a:1");
});

test("a request that comes back to the instance it passed through gets 508", async () => {
  // Two proxies in front of each other. One has to be started first, so it is given a wire to the other.
  const wire = await rawUpstream();
  const first = await startDaemon(["--http", String(wire.port)]);
  const second = await startDaemon(["--http", String(first.port)]);
  wire.server.on("connection", (socket) => {
    const onward = connect(second.port, "127.0.0.1").on("error", () => {});
    socket.pipe(onward).pipe(socket);
  });
  const response = await ask(first.port, head("GET /round HTTP/1.1", "Host: a"));
  expect(response.status).toBe(508);
  expect(JSON.parse(response.body)).toMatchObject({ error: { code: "loop_detected", status: 508 } });
});

test("a header block of 32 KiB passes, and comes through whole", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const cookie = "c".repeat(32 * 1024 - 200);
  expect((await ask(daemon.port, head("GET / HTTP/1.1", "Host: a", `Cookie: ${cookie}`))).status).toBe(200);
  expect(value(await fieldsAt(up), "Cookie")).toBe(cookie);
});

test("ten thousand header fields are no reason to drop one", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port), "--max-header-size", "128k"]);
  const many = Array.from({ length: 10_000 }, (_, i) => `h${i}: ${i}`);
  expect((await ask(daemon.port, head("GET / HTTP/1.1", "Host: a", ...many, "X-Last: here"))).status).toBe(200);
  expect(value(await fieldsAt(up), "X-Last")).toBe("here");
});

test("a 426 says which protocol is wanted, on a connection that is kept and on one that closes", async () => {
  const up = await rawUpstream((peer) => {
    const answer = head(
      "HTTP/1.1 426 Upgrade Required",
      "Upgrade: TLS/1.2, HTTP/2.0",
      "Sec-WebSocket-Version: 13",
      "Content-Length: 0",
    );
    peer.socket.on("data", () => peer.send(answer));
  });
  const daemon = await startDaemon(["--http", String(up.port), "--mux", `${up.port}/mux`]);
  for (const [bytes, connection] of [
    [head("GET / HTTP/1.1", "Host: a"), "Upgrade"],
    [head("GET / HTTP/1.1", "Host: a", "Connection: close"), "Upgrade, close"],
    [upgrade("/mux", "Sec-WebSocket-Version: 12"), "Upgrade, close"],
  ] as const) {
    const answer = await ask(daemon.port, bytes);
    expect(answer.status).toBe(426);
    expect(answer.all("upgrade")).toEqual(["TLS/1.2, HTTP/2.0"]);
    expect(answer.all("connection")).toEqual([connection]);
    expect(answer.all("sec-websocket-version")).toEqual(["13"]);
  }
});

test("bytes of UTF-8 at the end of a value, and a space in front of a colon, are no reason to change or refuse a response", async () => {
  const voila = Buffer.from("voilà").toString("latin1");
  const up = await rawUpstream((peer) => {
    peer.socket.on("data", () => peer.send(head("HTTP/1.1 200 OK", `X-A : ${voila}\t `, "Content-Length : 0")));
  });
  const daemon = await startDaemon(["--http", String(up.port)]);
  const answer = await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"));
  expect(answer.status).toBe(200);
  expect(answer.raw).toContain(`\r\nX-A: ${voila}\r\n`);
});

test("a response head up to the limit passes; a larger one is a 502 that names the limit", async () => {
  const big = (bytes: number): string => head("HTTP/1.1 200 OK", `X-Big: ${"b".repeat(bytes)}`, "Content-Length: 0");
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(big(32 * 1024 - 200));
  expect((await nextResponse(client)).field("x-big")).toHaveLength(32 * 1024 - 200);
  client.send(head("GET /more HTTP/1.1", "Host: a"));
  await peer.readUntil("/more");
  peer.send(big(40 * 1024));
  const refused = await nextResponse(client);
  expect(refused.status).toBe(502);
  expect(JSON.parse(refused.body)).toMatchObject({
    error: { code: "upstream_header_too_large", message: expect.stringContaining("--max-header-size") as string },
  });
  expect(await daemon.logged(({ path }) => path === "/more", "the exchange")).toMatchObject({
    error: "upstream_header_too_large",
    by: "proxy",
    how: "limit",
    attempts: [{ code: "header_too_large" }],
  });
});

test("TE: trailers goes along, named in Connection; of TE nothing else does", async () => {
  const up = await answering();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const te = async (version: string, ...fields: string[]): Promise<(string | undefined)[]> => {
    await ask(daemon.port, head(`GET / HTTP/${version}`, "Host: a:1", ...fields, "Connection: close, TE"));
    const got = lastFields(up);
    return [value(got, "TE"), value(got, "Connection")];
  };
  const passed = ["trailers", "keep-alive, TE"];
  const none = [undefined, "keep-alive"];
  expect(await te("1.1", "TE: gzip;q=0.5, Trailers")).toEqual(passed);
  expect(await te("1.1", "TE: gzip")).toEqual(none);
  expect(await te("1.1", "TE: trailers\xa0")).toEqual(none);
  expect(await te("1.1")).toEqual(none);
  expect(await te("1.0", "TE: trailers")).toEqual(none);
});
