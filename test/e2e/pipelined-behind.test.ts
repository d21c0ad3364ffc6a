// Requests that are pipelined behind another one, in the same read or later, are neither lost nor left unread.

import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { nextResponse } from "../kit/messages.ts";
import { deadPort, httpUpstream, rawUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

const SWITCHING = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade");
/** More than a stream takes before its source has to stop: 16 KiB. */
const BIG = 20_000;
/** More than one read. */
const LARGE = 70_000;

test("an upgrade in one read with the upload in front of it, which was answered early, opens a tunnel that is read", async () => {
  let tunnel = "";
  const web = await rawUpstream((peer) => {
    let text = "";
    let answered = false;
    peer.socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (text.startsWith("GET")) tunnel = text.slice(text.indexOf("\r\n\r\n") + 4);
      if (answered || !text.includes("\r\n\r\n")) return;
      answered = true;
      peer.send(text.startsWith("GET") ? SWITCHING : head("HTTP/1.1 200 OK", "Content-Length: 0"));
    });
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", `Content-Length: ${BIG}`));
  expect((await nextResponse(client)).status).toBe(200);
  client.send("x".repeat(BIG) + upgrade("/"));
  expect((await nextResponse(client)).status).toBe(101);
  client.send("\x82\x82\0\0\0\0ab");
  await until(() => tunnel === "\x82\x82\0\0\0\0ab", "the frame at the upstream");
});

test("a request behind an upload that waits for a large answer is answered, though it came by itself", async () => {
  const answers: (() => void)[] = [];
  const web = await rawUpstream((peer) => {
    let text = "";
    peer.socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.endsWith("\r\n\r\n")) return;
      const size = text.startsWith("GET /big") ? BIG : 2;
      text = "";
      answers.push(() => peer.send(`${head("HTTP/1.1 200 OK", `Content-Length: ${size}`)}${"y".repeat(size)}`));
    });
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  const post = `${head("POST /2 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}2\r\nab\r\n0\r\n\r\n`;
  client.send(head("GET /big HTTP/1.1", "Host: a") + post);
  const first = await until(() => answers.shift(), "the first request at the upstream");
  client.send(head("GET /3 HTTP/1.1", "Host: a"));
  first();
  expect((await nextResponse(client)).body.length).toBe(BIG);
  for (const n of [2, 3]) {
    (await until(() => answers.shift(), `request ${n} at the upstream`))();
    expect((await nextResponse(client)).body).toBe("yy");
  }
});

test.each([
  ["length", `Content-Length: ${BIG}`, "x".repeat(BIG)],
  ["chunks", "Transfer-Encoding: chunked", `${BIG.toString(16)}\r\n${"x".repeat(BIG)}\r\n0\r\n\r\n`],
])(
  "a request behind an upload by %s that was complete before its upstream was there is answered",
  async (_, field, body) => {
    const port = await deadPort();
    const daemon = await startDaemon(["--http", String(port)]);
    const client = await dial(daemon.port);
    client.send(head("PUT / HTTP/1.1", "Host: a", field));
    client.send(body);
    await until(() => daemon.unread(client.socket.localPort ?? 0) === 0, "all of it to be read");
    await httpUpstream((req, res) => void req.resume().on("end", () => res.end(req.method)), port);
    expect((await nextResponse(client)).body).toBe("PUT");
    client.send(head("GET / HTTP/1.1", "Host: a"));
    expect((await nextResponse(client)).body).toBe("GET");
  },
);

test("a client that leaves is noticed although a request waits behind its upload, whose answer is an event stream", async () => {
  const web = await rawUpstream((peer) => {
    let bytes = 0;
    peer.socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes < LARGE || peer.socket.bytesWritten > 0) return;
      peer.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"));
    });
  });
  const daemon = await startDaemon(["--http", String(web.port), "--access-log"]);
  const client = await dial(daemon.port);
  // Read in two pieces while the upstream is being dialled: both pause the client, and the second ends with a request.
  client.send(head("POST /1 HTTP/1.1", "Host: a", `Content-Length: ${LARGE}`) + "x".repeat(LARGE));
  client.send(`${head("POST /2 HTTP/1.1", "Host: a", "Content-Length: 2")}ab`);
  await client.readUntil("event-stream");
  client.halfClose();
  const account = await daemon.logged((line) => line["path"] === "/1", "the end of the exchange", 10_000);
  expect(account).toMatchObject({ by: "client", how: "fin", phase: "response_body" });
});
