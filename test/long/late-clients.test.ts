// Clients that stall while only they can go on: they count as late, and are cut after a limit.

import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { nextResponse } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { httpUpstream, rawUpstream } from "../kit/upstream.ts";

test("an event stream that is over, and whose client does not take the end of it, is cut off", async () => {
  const events = 60_000;
  const up = await rawUpstream((peer) => {
    peer.socket.on("data", () => {
      const fields = ["Content-Type: text/event-stream", `Content-Length: ${events}`];
      peer.send(head("HTTP/1.1 200 OK", ...fields) + "e".repeat(events));
    });
  });
  const daemon = await startDaemon(["--http", String(up.port), "--body-timeout", "300ms"]);
  const client = await dial(daemon.port);
  client.stall();
  // One after another they fill the buffers of both kernels; the one behind those has come, and cannot go.
  client.send(head("GET / HTTP/1.1", "Host: a").repeat(400));
  const line = await daemon.logged(({ how = "done" }) => how !== "done", "a stream that did not end well", 10_000);
  expect(line).toMatchObject({ status: 200, by: "client", how: "timeout", phase: "response_body" });
});

test("a client that takes nothing, of an upstream that then takes nothing either, has all of its time, and is the one who was late", async () => {
  const echo = await httpUpstream((req, res) => void req.pipe(res.writeHead(200)));
  const daemon = await startDaemon(["--http", String(echo.port), "--body-timeout", "2s"]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", "Content-Length: 100000000"));
  client.send("begun");
  await client.readUntil("begun");
  client.stall();
  client.send(Buffer.alloc(99_999_995));
  const line = await daemon.logged(({ how = "done" }) => how !== "done", "the end", 10_000);
  expect(line).toMatchObject({ status: 200, by: "client", how: "timeout", phase: "response_body" });
  expect(line["ms"]).toBeGreaterThan(2000);
});

test("interim responses go on when the client takes them again, and so does the answer", async () => {
  const interim = head("HTTP/1.1 103 Early Hints", `Link: ${"x".repeat(16_000)}`);
  const ok = `${head("HTTP/1.1 200 OK", "Content-Length: 4")}done`;
  const up = await rawUpstream((peer) => {
    peer.socket.on("data", (chunk: Buffer) => {
      if (chunk.includes("/hints")) peer.send(interim.repeat(4000));
      peer.send(ok);
    });
  });
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  let bytes = 0;
  client.socket.removeAllListeners("data").on("data", (chunk: Buffer) => (bytes += chunk.length));
  client.stall();
  client.send(head("GET /hints HTTP/1.1", "Host: a"));
  await up.next();
  // For each of these the proxy has read 64 KiB of the other, if it still reads it.
  const another = await dial(daemon.port);
  for (let n = 0; n < 300; n += 1) {
    another.send(head("GET / HTTP/1.1", "Host: a"));
    expect((await nextResponse(another)).status).toBe(200);
  }
  client.socket.resume();
  await until(() => bytes > 4000 * interim.length, "all of them, and the answer");
  await daemon.logged(({ path }) => path === "/hints", "the exchange");
});
