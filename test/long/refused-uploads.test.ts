// A refusal that is said while its client still uploads: closing with bytes unread is a RST, which overtakes the answer
// (RFC 9112 9.6). The client is one that reads its answer only when it has written everything.

import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { dial, head, isWhole, upgrade } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { atEnd } from "../kit/lifetime.ts";
import { statuses } from "../kit/recording.ts";
import { every, until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, rawUpstream } from "../kit/upstream.ts";

const BODY = Buffer.alloc(8 * 1024 * 1024, "x");
const LENGTH = `Content-Length: ${BODY.length}`;
const ROUNDS = 10;

/** Sends it all, closes, and resolves with what came, or with how it broke. */
async function upload(port: number, asked: string, body = BODY): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  atEnd(() => socket.destroy());
  let received = "";
  let error = "";
  socket.setEncoding("latin1").on("data", (text: string) => (received += text));
  socket.on("error", ({ message }) => (error = message));
  socket.write(asked, "latin1");
  socket.end(body);
  await within(new Promise((resolve) => socket.once("close", resolve)), "the end of an upload");
  return error === "" ? received : `${error} behind ${JSON.stringify(received)}`;
}

async function expectRefused(port: number, status: number, asked: string, body = BODY): Promise<void> {
  const answers = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const answer = await upload(port, asked, body);
    answers.push(statuses(answer).join() === String(status) && isWhole(answer) ? "said" : answer);
  }
  expect(answers).toEqual(Array.from({ length: ROUNDS }, () => "said"));
}

async function start(...args: string[]): Promise<TestDaemon> {
  const web = await httpUpstream((req, res) => req.resume().on("end", () => res.end(req.headers.via)));
  return await startDaemon(["--http", String(web.port), "--mux", `${web.port}/mux`, ...args]);
}

describe("the answer reaches a client that still uploads", () => {
  test("400, by the router", async () => {
    const { port } = await start();
    await expectRefused(port, 400, head("POST / HTTP/1.1", "Host: a", "Host: b", LENGTH));
  });

  test("400, by the parser: a body that breaks off being chunked", async () => {
    const { port } = await start();
    const asked = `${head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}5\r\nhello\r\nzz\r\n`;
    await expectRefused(port, 400, asked);
  });

  test("400: an upgrade that announces a body", async () => {
    const { port } = await start();
    await expectRefused(port, 400, upgrade("/mux", LENGTH));
  });

  test("403: an origin that may not, with bytes behind the upgrade", async () => {
    const { port } = await start();
    await expectRefused(port, 403, upgrade("/mux", "Origin: http://evil.example"));
  });

  test("405: CONNECT, with bytes behind it", async () => {
    const { port } = await start();
    await expectRefused(port, 405, head("CONNECT a:443 HTTP/1.1", "Host: a:443"));
  });

  test("431", async () => {
    const { port } = await start();
    await expectRefused(port, 431, head("POST / HTTP/1.1", "Host: a", `X: ${"x".repeat(40_000)}`, LENGTH));
  });

  test("431: the extension of a chunk", async () => {
    const { port } = await start();
    const asked = `${head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}5;`;
    await expectRefused(port, 431, asked);
  });

  test("503, too many connections", async () => {
    const { port } = await start("--max-connections", "1");
    const first = await dial(port);
    first.send(head("GET / HTTP/1.1", "Host: a"));
    await first.readUntil("200 OK");
    await expectRefused(port, 503, head("POST / HTTP/1.1", "Host: a", LENGTH));
  });

  test("503, too many connections, to an upgrade with bytes behind it", async () => {
    const { port } = await start("--max-connections", "1");
    const first = await dial(port);
    first.send(head("GET / HTTP/1.1", "Host: a"));
    await first.readUntil("200 OK");
    await expectRefused(port, 503, upgrade());
  });

  test("503 to a client of HTTP/1.0, whose connection closes behind every answer", async () => {
    const { port } = await startDaemon(["--http", String(await deadPort()), "--hold", "0"]);
    await expectRefused(port, 503, head("POST / HTTP/1.0", "Host: a", LENGTH));
  });

  test("508", async () => {
    const { port } = await start();
    const answer = await (await fetch(`http://127.0.0.1:${port}/`)).text();
    await expectRefused(port, 508, head("POST / HTTP/1.1", "Host: a", `Via: ${answer}`, LENGTH));
  });

  test.each(["Connection: close", "Connection: keep-alive"])(
    "413 of an upstream that answers early and closes, %s",
    async (connection) => {
      const early = head("HTTP/1.1 413 Content Too Large", "Connection: close", "Content-Length: 0");
      const web = await rawUpstream((peer) => peer.socket.once("data", () => peer.socket.end(early)));
      const { port } = await startDaemon(["--http", String(web.port)]);
      await expectRefused(port, 413, head("POST / HTTP/1.1", "Host: a", connection, LENGTH));
    },
  );
});

test("a client that uploads slowly has its answer and a FIN, and is not reset while it goes on", async () => {
  const { port } = await start();
  const client = await dial(port);
  client.send(head("POST / HTTP/1.1", "Host: a", "Host: b", LENGTH));
  let sent = 0;
  const stop = every(200, () => {
    client.send("x");
    sent += 1;
  });
  expect(await within(client.ended, "the end")).toBe("fin");
  let error: Error | undefined;
  client.socket.on("error", (e: Error) => (error = e));
  // For longer than one that is silent would have.
  await until(() => sent > 12, "more of the upload");
  expect(error).toBeUndefined();
  expect(statuses(client.received())).toEqual([400]);
  stop();
  client.halfClose();
});

test("a client that neither sends more nor closes after its answer is cut soon", async () => {
  const daemon = await start();
  const open = await daemon.settledSockets();
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", "Host: b", LENGTH));
  expect(await within(client.ended, "the end")).toBe("fin");
  await until(() => daemon.sockets() === open, "the cut");
  expect(client.socket.destroyed).toBe(false);
});
