import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, endOf, nextResponse } from "../kit/messages.ts";
import { httpUpstream, rawUpstream } from "../kit/upstream.ts";

test("the answer to HEAD keeps its length and framing fields, has no body, and the next answer follows", async () => {
  const web = await httpUpstream((req, res) => {
    if (req.url === "/length") res.setHeader("Content-Length", "5000");
    res.end(req.method === "HEAD" ? undefined : "body");
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(
    head("HEAD /length HTTP/1.1", "Host: a") + head("HEAD / HTTP/1.1", "Host: a") + head("GET / HTTP/1.1", "Host: a"),
  );
  expect((await nextResponse(client, "HEAD")).field("content-length")).toBe("5000");
  expect((await nextResponse(client, "HEAD")).status).toBe(200);
  expect((await nextResponse(client)).body).toBe("body");
});

test.each([
  ["a length", "Content-Length: 5", "hello"],
  ["chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"],
])("HEAD to an upstream that announces %s ends without a body", async (_, framing) => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  client.send(head("HEAD / HTTP/1.1", "Host: a"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(head("HTTP/1.1 200 OK", framing));
  expect((await nextResponse(client, "HEAD")).status).toBe(200);
  // The upstream may still send the body that it announced: the next request goes on another connection.
  client.send(head("HEAD /again HTTP/1.1", "Host: a"));
  await (await up.next()).readUntil("/again");
});

test.each([
  ["204", "HTTP/1.1 204 No Content", [], undefined],
  ["204 with a length", "HTTP/1.1 204 No Content", ["Content-Length: 0"], undefined],
  ["304", "HTTP/1.1 304 Not Modified", ['ETag: "x"'], undefined],
  [
    "304 with the length of the body it stands for",
    "HTTP/1.1 304 Not Modified",
    ['ETag: "x"', "Content-Length: 77"],
    "77",
  ],
])("%s has no body, and the client's connection goes on", async (_, line, fields, length) => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(head(line, ...fields));
  const response = await nextResponse(client);
  expect(response.field("content-length")).toBe(length);
  expect(response.field("transfer-encoding")).toBeUndefined();
  expect(response.field("etag")).toBe(line.includes("304") ? '"x"' : undefined);
  client.send(head("GET /again HTTP/1.1", "Host: a"));
  // An upstream that announced a body with it may still send that: then the request goes on another connection.
  const next = Number(length ?? 0) > 0 ? await up.next() : peer;
  await next.readUntil("/again");
  next.send(`${head("HTTP/1.1 200 OK", "Content-Length: 2")}ok`);
  expect((await nextResponse(client)).body).toBe("ok");
});

test("a body without length or chunks reaches an HTTP/1.1 client whole", async () => {
  const up = await rawUpstream((peer) => {
    void peer.readUntil("\r\n\r\n").then(() => {
      peer.send(`${head("HTTP/1.1 200 OK", "Connection: close")}until the end`);
      return peer.halfClose();
    });
  });
  const daemon = await startDaemon(["--http", String(up.port)]);
  const response = await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"));
  expect(response.body).toBe("until the end");
  expect(response.field("connection")).not.toBe("close");
});

test("an HTTP/1.0 client gets a chunked answer without chunks, up to a FIN", async () => {
  const web = await httpUpstream((_req, res) => {
    res.write("one ");
    res.end("two");
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.0", "Connection: keep-alive", "TE: chunked"));
  expect(await endOf(client)).toBe("fin");
  const response = await nextResponse(client);
  expect(response.body).toBe("one two");
  expect(response.field("transfer-encoding")).toBeUndefined();
  expect(response.field("connection")).toBe("close");
});

test("an HTTP/1.0 client without keep-alive gets its answer, then a FIN", async () => {
  const web = await httpUpstream((_req, res) => res.setHeader("Content-Length", "2").end("ok"));
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.0"));
  expect((await nextResponse(client)).body).toBe("ok");
  expect(await endOf(client)).toBe("fin");
});

test("an HTTP/1.0 client with keep-alive may ask again where the length is known", async () => {
  const web = await httpUpstream((req, res) => res.setHeader("Content-Length", "2").end(req.url));
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  for (const path of ["/1", "/2"]) {
    client.send(head(`GET ${path} HTTP/1.0`, "Connection: keep-alive"));
    const response = await nextResponse(client);
    expect(response.body).toBe(path);
    expect(response.field("connection")?.toLowerCase()).toBe("keep-alive");
  }
});

test("Connection: close of the client is granted; that of the upstream is its own affair", async () => {
  const web = await httpUpstream((req, res) => {
    if (req.url === "/closes") res.setHeader("Connection", "close");
    res.end("ok");
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(head("GET /closes HTTP/1.1", "Host: a"));
  expect((await nextResponse(client)).field("connection")).not.toBe("close");
  client.send(head("GET / HTTP/1.1", "Host: a", "Connection: close"));
  expect((await nextResponse(client)).field("connection")).toBe("close");
  expect(await endOf(client)).toBe("fin");
});

test("each server-sent event arrives before the next is sent", async () => {
  let write: ((event: string) => void) | undefined;
  const web = await httpUpstream((_req, res) => {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.flushHeaders();
    write = (event) => void res.write(event);
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(head("GET /events HTTP/1.1", "Host: a", "Accept: text/event-stream"));
  // The head comes without a first event.
  await client.readUntil(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n/);
  for (let i = 0; i < 100; i += 1) {
    write!(`data: event ${i}\n\n`);
    await client.readUntil(`data: event ${i}\n\n`);
  }
});

test("each chunk of an upload arrives before the next is sent", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  client.send(head("POST /upload HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"));
  const peer = await up.next();
  expect(await peer.readUntil("\r\n\r\n")).toMatch(/\r\nTransfer-Encoding: chunked\r\n/);
  for (let i = 0; i < 50; i += 1) {
    client.send(`8;ext=1\r\npiece ${String(i).padStart(2, "0")}\r\n`);
    await peer.readUntil(`8\r\npiece ${String(i).padStart(2, "0")}\r\n`);
  }
  client.send("0\r\n\r\n");
  await peer.readUntil(/\r\n0\r\n\r\n$/);
  peer.send(head("HTTP/1.1 201 Created", "Content-Length: 0"));
  expect((await nextResponse(client)).status).toBe(201);
});

test("trailers pass to the upstream, without those that decide how a message is read", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  const chunked = "2\r\nhi\r\n0\r\nX-Sum: \xe4 1\r\nAuthorization: x\r\nHost: evil\r\n\r\n";
  client.send(`${head("POST / HTTP/1.1", "Host: a", "Trailer: X-Sum", "Transfer-Encoding: chunked")}${chunked}`);
  const text = await (await up.next()).readUntil(/\r\n0\r\n[^]*\r\n\r\n$/);
  expect(text).toContain("\r\nTrailer: X-Sum\r\n");
  expect(text.slice(text.indexOf("\r\n\r\n") + 4)).toBe("2\r\nhi\r\n0\r\nX-Sum: \xe4 1\r\n\r\n");
});

test("trailers pass to the client", async () => {
  const web = await httpUpstream((_req, res) => {
    res.writeHead(200, { Trailer: "X-Sum, X-Sum" });
    res.write("body");
    res.addTrailers([
      ["X-Sum", "1"],
      ["X-Sum", "2"],
      ["Content-Type", "text/html"],
    ]);
    res.end();
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const response = await ask(daemon.port, head("GET / HTTP/1.1", "Host: a", "TE: trailers"));
  expect(response.body).toBe("body");
  expect(response.field("trailer")).toBe("X-Sum, X-Sum");
  expect(response.trailers).toEqual([
    ["X-Sum", "1"],
    ["X-Sum", "2"],
  ]);
});
