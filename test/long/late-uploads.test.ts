// A client that stops in the middle of its upload is the late side, even after an early response of the upstream.

import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon, type LogLine, type TestDaemon } from "../kit/daemon.ts";
import { endOf, nextResponse } from "../kit/messages.ts";
import { every } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

const ANSWER = `${head("HTTP/1.1 200 OK", "Content-Length: 2")}ok`;

function ended(daemon: TestDaemon): Promise<LogLine> {
  return daemon.logged(({ msg }) => msg === "request ended", "its end");
}

test("after a 100 it is told so: 408, not 504", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--body-timeout", "200ms"]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 100"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(head("HTTP/1.1 100 Continue"));
  expect((await nextResponse(client, "POST")).status).toBe(100);
  client.send("some");
  const response = await nextResponse(client, "POST");
  expect([response.status, response.field("x-single-port-error")]).toEqual([408, "request_timeout"]);
  expect(await ended(daemon)).toMatchObject({ by: "client", how: "timeout", phase: "request_body" });
});

test.each([
  ["it may stop for as long as a body may", "--body-timeout"],
  ["it may stop for as long as an idle connection is kept", "--client-keep-alive"],
])("behind an early answer %s (%s); then the log says that it was the client", async (_, limit) => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), limit, "300ms"]);
  const client = await dial(daemon.port);
  client.send(`${head("POST / HTTP/1.1", "Host: a", "Content-Length: 100")}some`);
  const peer = await up.next();
  await peer.readUntil("some");
  peer.send(ANSWER);
  expect((await nextResponse(client, "POST")).body).toBe("ok");
  expect(await endOf(client)).toBe("fin");
  expect(await ended(daemon)).toMatchObject({ status: 200, by: "client", how: "timeout" });
});

test("behind an early answer an upload that is too slow is a timeout, not a broken request", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--request-timeout", "300ms"]);
  const client = await dial(daemon.port);
  client.send(`${head("POST / HTTP/1.1", "Host: a", "Content-Length: 1000")}some`);
  const peer = await up.next();
  await peer.readUntil("some");
  peer.send(ANSWER);
  const stop = every(50, () => client.send("x"));
  expect((await nextResponse(client, "POST")).body).toBe("ok");
  expect(await ended(daemon)).toMatchObject({ status: 200, by: "client", how: "timeout" });
  stop();
});
