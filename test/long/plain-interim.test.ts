import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { ask, endOf, nextResponse } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { rawUpstream, type RawUpstream } from "../kit/upstream.ts";

async function start(): Promise<{ up: RawUpstream; daemon: TestDaemon; client: RawClient }> {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  return { up, daemon, client: await dial(daemon.port) };
}

const EXPECTING = head("PUT /upload HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 4");

test("100 Continue comes when the upstream says so, not before", async () => {
  const { up, client } = await start();
  client.send(EXPECTING);
  const peer = await up.next();
  expect(await peer.readUntil("\r\n\r\n")).toContain("\r\nExpect: 100-continue\r\n");
  expect(client.received()).toBe("");
  peer.send(head("HTTP/1.1 100 Continue"));
  expect((await nextResponse(client, "PUT")).status).toBe(100);
  client.send("body");
  await peer.readUntil("\r\n\r\nbody");
  peer.send(head("HTTP/1.1 200 OK", "Content-Length: 0"));
  expect((await nextResponse(client, "PUT")).status).toBe(200);
});

test.each(["417 Expectation Failed", "413 Content Too Large", "401 Unauthorized"])(
  "%s instead of 100: the body is never asked for, and a client that goes away frees the upstream",
  async (line) => {
    const { up, client, daemon } = await start();
    client.send(EXPECTING);
    const peer = await up.next();
    await peer.readUntil("\r\n\r\n");
    peer.send(`${head(`HTTP/1.1 ${line}`, "Content-Length: 2")}no`);
    const response = await nextResponse(client, "PUT");
    expect([response.status, response.body]).toEqual([Number(line.slice(0, 3)), "no"]);
    client.halfClose();
    await endOf(peer);
    await endOf(client);
    expect(peer.received()).toMatch(/\r\n\r\n$/);
    await daemon.logged((entry) => entry["status"] === Number(line.slice(0, 3)), "the exchange");
  },
);

test("after a refusal instead of 100 the connection is closed, and the client told so", async () => {
  const { up, client } = await start();
  client.send(EXPECTING);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(head("HTTP/1.1 417 Expectation Failed", "Content-Length: 0"));
  const response = await nextResponse(client, "PUT");
  expect([response.status, response.field("connection")]).toEqual([417, "close"]);
  expect(await endOf(client)).toBe("fin");
  await endOf(peer);
});

test("a client that does not wait for 100 has its body carried all the same", async () => {
  const { up, client } = await start();
  client.send(`${EXPECTING}body`);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\nbody");
  peer.send(head("HTTP/1.1 200 OK", "Content-Length: 0"));
  expect((await nextResponse(client, "PUT")).status).toBe(200);
});

test("an expectation the proxy does not know is the upstream's to judge", async () => {
  const { up, client } = await start();
  client.send(head("GET / HTTP/1.1", "Host: a", "Expect: a-miracle"));
  const peer = await up.next();
  expect(await peer.readUntil("\r\n\r\n")).toContain("\r\nExpect: a-miracle\r\n");
  peer.send(head("HTTP/1.1 417 Expectation Failed", "Content-Length: 0"));
  expect((await nextResponse(client)).status).toBe(417);
});

test("interim responses pass in order, with their fields, before the final one is there", async () => {
  const { up, client } = await start();
  client.send(head("GET / HTTP/1.1", "Host: a"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(
    head("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload", "Link: </b.js>", "Connection: X-Hop", "X-Hop: 1"),
  );
  const hints = await nextResponse(client);
  expect(hints.status).toBe(103);
  expect(hints.fields).toEqual([
    ["Link", "</a.css>; rel=preload"],
    ["Link", "</b.js>"],
  ]);
  peer.send(head("HTTP/1.1 102 Processing") + head("HTTP/1.1 103 Early Hints", "Link: </c>"));
  expect((await nextResponse(client)).status).toBe(102);
  expect((await nextResponse(client)).field("link")).toBe("</c>");
  peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 2")}ok`);
  expect((await nextResponse(client)).body).toBe("ok");
});

test("an HTTP/1.0 client gets no interim response", async () => {
  const { up, client } = await start();
  client.send(head("GET / HTTP/1.0"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(`${head("HTTP/1.1 103 Early Hints", "Link: </a>")}${head("HTTP/1.1 200 OK", "Content-Length: 2")}ok`);
  expect((await nextResponse(client)).status).toBe(200);
});

test("of pipelined requests the second's interim response waits for the first's answer", async () => {
  const { up, client } = await start();
  client.send(head("GET /first HTTP/1.1", "Host: a") + head("GET /second HTTP/1.1", "Host: a"));
  const peer = await up.next();
  await peer.readUntil("/first");
  peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 5")}first`);
  await peer.readUntil("/second");
  peer.send(head("HTTP/1.1 103 Early Hints", "Link: </a>") + head("HTTP/1.1 204 No Content"));
  expect((await nextResponse(client)).body).toBe("first");
  expect((await nextResponse(client)).status).toBe(103);
  expect((await nextResponse(client)).status).toBe(204);
});

test("a client that reads none of 128 MB of interim responses does not have them kept for it", async () => {
  const { up, daemon, client } = await start();
  const peakMb = (): number =>
    Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]) / 1024;
  client.stall();
  client.send(head("GET / HTTP/1.1", "Host: a"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  const before = peakMb();
  const hint = Buffer.from(head("HTTP/1.1 103 Early Hints", `Link: </${"x".repeat(16_000)}>`));
  const hints = Array.from({ length: 8192 }, () => hint);
  for (const one of hints) peer.send(one);
  // Time in which they would have been taken.
  up.script = (other) => other.send(head("HTTP/1.1 204 No Content", "Connection: close"));
  for (let n = 0; n < 100; n += 1) await ask(daemon.port, head("GET /other HTTP/1.1", "Host: a"));
  client.socket.resume();
  await until(() => client.socket.bytesRead >= hints.length * hint.length, "all of them", 10_000);
  expect(peakMb() - before).toBeLessThan(64);
});
