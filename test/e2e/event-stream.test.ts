// A stream of events, or any body that comes slowly: each piece is passed on as soon as it is there.

import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { until } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

/** Around the lengths at which a size has one more digit, and at which another buffer is taken. */
const SIZES = [1, 15, 16, 110, 255, 256, 4089, 4090, 4096, 4097, 20_000, 60_000];
const chunked = (piece: string): string => `${piece.length.toString(16)}\r\n${piece}\r\n`;
const bare = (piece: string): string => piece;
const CHUNKED = head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked");
const LENGTH = SIZES.reduce((sum, size) => sum + size, 0);

test.each([
  { from: "Transfer-Encoding: chunked", encode: chunked, version: "1.1" },
  { from: "Transfer-Encoding: chunked", encode: chunked, version: "1.0" },
  { from: "Connection: close", encode: bare, version: "1.1" },
  { from: `Content-Length: ${LENGTH}`, encode: bare, version: "1.1" },
])("with $from, to HTTP/$version: no event waits for the one behind it", async ({ from, encode, version }) => {
  const web = await rawUpstream();
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(head(`GET /events HTTP/${version}`, "Host: a"));
  const server = await web.next();
  await server.readUntil("\r\n\r\n");
  server.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", from));
  const sent = await client.readUntil("\r\n\r\n");
  expect(sent).toMatch(/^HTTP\/1.1 200 /);
  const isChunked = /^transfer-encoding: chunked/im.test(sent);
  expect(isChunked).toBe(version === "1.1" && !from.startsWith("Content-Length"));
  let body = "";
  for (const [index, size] of SIZES.entries()) {
    const event = String.fromCharCode(0x61 + index).repeat(size - 1) + "\xff";
    server.send(encode(event));
    body += event;
    await until(() => bodyOf(client.received(), isChunked).length >= body.length, `event ${index} of ${size} bytes`);
  }
  expect(bodyOf(client.received(), isChunked)).toBe(body);
});

/** Asks for events by HTTP/1.1, and has the upstream read that. */
async function asked(flags: string[] = []): Promise<{ daemon: TestDaemon; client: RawClient; server: RawClient }> {
  const web = await rawUpstream();
  const daemon = await startDaemon(["--http", String(web.port), ...flags]);
  const client = await dial(daemon.port);
  client.send(head("GET /events HTTP/1.1", "Host: a"));
  const server = await web.next();
  await server.readUntil("\r\n\r\n");
  return { daemon, client, server };
}

test("events that come in one read, with the head or behind it, keep their order, and their framing is valid", async () => {
  const { client, server } = await asked();
  const first = ["one", "two", "three"];
  const second = ["four", "five"];
  server.send(CHUNKED + first.map(chunked).join(""));
  await until(() => bodyOf(client.received(), true) === first.join(""), "what came with the head");
  server.send(`${second.map(chunked).join("")}0\r\nX-Sum: 5\r\n\r\n`);
  const received = await client.readUntil("X-Sum: 5\r\n\r\n");
  // Node 26 puts what comes with the head into one chunk.
  expect(bodyOf(received.slice(0, received.indexOf("0\r\nX-Sum")), true)).toBe([...first, ...second].join(""));
});

test("events in whole chunks, in parts and with extensions keep their order, and all of them are counted", async () => {
  const { daemon, client, server } = await asked();
  server.send(CHUNKED);
  await client.readUntil("\r\n\r\n");
  let body = "";
  const come = async (bytes: string, data: string): Promise<void> => {
    server.send(bytes);
    body += data;
    await until(() => bodyOf(client.received(), true).length >= body.length, `${JSON.stringify(bytes)} as ${data}`);
  };
  await come(chunked("one"), "one");
  await come(chunked("two") + chunked("three"), "twothree");
  await come("4\r\nfo", "fo");
  await come("ur\r", "ur");
  await come("\n4", "");
  await come("\r\nfive\r\n", "five");
  await come(`3;q="a;b"\r\nsix\r\n`, "six");
  await come(chunked("seven"), "seven");
  await come(`${chunked("eight")}4\r\nni`, "eightni");
  await come("ne\r\n", "ne");
  await come(chunked("ten"), "ten");
  // Within a chunk, what looks like a whole one is data.
  await come("c\r\nab", "ab");
  await come(chunked("xyz"), chunked("xyz"));
  await come("cd\r\n", "cd");
  server.send(`${chunked("end")}0\r\nX-Sum: 11\r\n\r\n`);
  body += "end";
  const received = await client.readUntil("0\r\nX-Sum: 11\r\n\r\n");
  expect(bodyOf(received.slice(0, received.indexOf("0\r\nX-Sum")), true)).toBe(body);
  expect(received).not.toContain(";");
  const line = await daemon.logged(({ path }) => path === "/events", "its end");
  expect(line).toMatchObject({ status: 200, bytesOut: body.length });
  // The upstream's connection is whole, and is used again.
  client.send(head("GET /next HTTP/1.1", "Host: a"));
  expect(await server.readUntil("GET /next HTTP/1.1")).toContain("GET /next");
});

test("a client that does not read its events is paused with its upstream, goes on, and is cut when it never does", async () => {
  const { daemon, client, server } = await asked(["--body-timeout", "2s"]);
  server.send(CHUNKED);
  await client.readUntil("\r\n\r\n");
  let taken = 0;
  client.socket
    .removeAllListeners("data")
    .on("data", (chunk: Buffer) => (taken += chunk.toString("latin1").replaceAll(/[^x]/g, "").length));
  // A whole number of these fills a read of 64 KiB.
  const event = chunked("x".repeat(1017));
  let sent = 0;
  const flood = async (isFull: () => boolean): Promise<void> => {
    while (!isFull()) {
      server.socket.write(event);
      sent += 1017;
      await new Promise(setImmediate);
    }
  };
  const stuck = (): boolean => server.socket.writableLength > 256 * 1024;
  client.stall();
  await flood(stuck);
  client.socket.resume();
  await until(() => taken === sent, "all events, once it reads again");
  client.stall();
  await flood(stuck);
  const line = await daemon.logged(({ path }) => path === "/events", "its end", 10_000);
  expect(line).toMatchObject({ status: 200, by: "client", how: "timeout", phase: "response_body" });
});

/** What has come of a body; the size of each chunk has to be that of its data. */
function bodyOf(received: string, isChunked: boolean): string {
  const text = received.slice(received.indexOf("\r\n\r\n") + 4);
  if (!isChunked) return text;
  let body = "";
  for (let at = 0; at < text.length;) {
    const line = text.indexOf("\r\n", at);
    if (line < 0) break;
    const from = line + 2;
    const end = from + Number.parseInt(text.slice(at, line), 16);
    body += text.slice(from, end);
    if (end + 2 <= text.length) expect(text.slice(end, end + 2)).toBe("\r\n");
    at = end + 2;
  }
  return body;
}
