// Servers that send more bytes than their response has: the surplus reaches no client, and breaks no other response.

import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, endOf } from "../kit/messages.ts";
import { rawUpstream } from "../kit/upstream.ts";

/** Answers a first request with `first`; what comes then is up to the test. Returns that connection. */
async function idle(method: string, first: string) {
  const upstream = await rawUpstream((peer: RawClient) => {
    peer.socket.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      if (text.includes(" /first ")) peer.send(first);
      else if (upstream.accepted.length > 1) peer.send(head("HTTP/1.1 200 OK", "Content-Length: 5") + "right");
    });
  });
  const daemon = await startDaemon(["--http", String(upstream.port)]);
  await ask(daemon.port, head(`${method} /first HTTP/1.1`, "Host: a", "Connection: close"));
  return { upstream, daemon, peer: upstream.accepted[0]! };
}

const OK = head("HTTP/1.1 200 OK", "Content-Length: 2");

test.each([
  ["an answer to HEAD that announces a length", "HEAD", OK],
  ["an answer to HEAD that announces chunks", "HEAD", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")],
  ["a 304 that announces a length", "GET", head("HTTP/1.1 304 Not Modified", "Content-Length: 2")],
  ["a 204 that announces a length", "GET", head("HTTP/1.1 204 No Content", "Content-Length: 2")],
  [
    "an HTTP/1.0 answer in chunks",
    "GET",
    `${head("HTTP/1.0 200 OK", "Connection: keep-alive", "Transfer-Encoding: chunked")}2\r\nok\r\n0\r\n\r\n`,
  ],
])("behind %s nothing follows on its connection", async (_, method, first) => {
  const { upstream, daemon, peer } = await idle(method, first);
  expect(await endOf(peer)).toBe("fin");
  expect((await ask(daemon.port, head("GET /second HTTP/1.1", "Host: a"))).body).toBe("right");
  expect(upstream.accepted).toHaveLength(2);
});

test.each(["HEAD", "GET"])(
  "an answer to %s without a body is followed by another on its connection",
  async (method) => {
    const { upstream, daemon, peer } = await idle(method, head("HTTP/1.1 204 No Content"));
    (await dial(daemon.port)).send(head("GET /second HTTP/1.1", "Host: a"));
    await peer.readUntil("/second");
    expect(upstream.accepted).toHaveLength(1);
  },
);

test.each(["GET", "PUT", "DELETE"])(
  "the rest of an answer in front of the next one is a stale connection: %s is sent again on a fresh one",
  async (method) => {
    const { upstream, daemon, peer } = await idle("GET", `${OK}ok`);
    const answer = ask(daemon.port, head(`${method} /second HTTP/1.1`, "Host: a"));
    await peer.readUntil("/second");
    peer.send("way too long");
    expect(await answer).toMatchObject({ status: 200, body: "right" });
    expect(upstream.accepted).toHaveLength(2);
    const line = await daemon.logged(({ path }) => path === "/second", "the exchange");
    expect(line).toMatchObject({ status: 200, how: "done", attempts: [{ reused: true, code: "bad_response" }, {}] });
  },
);

test("an empty line behind an answer is read over, in front of the next one and of the connection's end", async () => {
  const { upstream, daemon, peer } = await idle("GET", `${OK}ok`);
  const answer = ask(daemon.port, head("GET /second HTTP/1.1", "Host: a"));
  await peer.readUntil("/second");
  peer.send(`\r\n${head("HTTP/1.1 200 OK", "Content-Length: 4")}same`);
  expect((await answer).body).toBe("same");
  const third = ask(daemon.port, head("GET /third HTTP/1.1", "Host: a"));
  await peer.readUntil("/third");
  peer.send("\r\n");
  peer.halfClose();
  expect((await third).body).toBe("right");
  expect(upstream.accepted).toHaveLength(2);
});

test("nonsense on a fresh connection, and nonsense behind an interim answer, is asked for once", async () => {
  const { upstream, daemon, peer } = await idle("GET", `${OK}ok`);
  (await dial(daemon.port)).send(head("GET /second HTTP/1.1", "Host: a"));
  await peer.readUntil("/second");
  peer.send(`${head("HTTP/1.1 103 Early Hints", "Link: </a>")}nonsense\r\n\r\n`);
  await daemon.logged(({ path, status }) => path === "/second" && status === 502, "a 502");
  expect(upstream.accepted).toHaveLength(1);
});

// -- a body that breaks in the packet of its head

const CHUNKED = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked");

test.each([
  ["a chunk", `${CHUNKED}xyz\r\n`, ""],
  ["the second chunk", `${CHUNKED}4\r\ngood\r\nxyz\r\n`, "good"],
  ["the trailers", `${CHUNKED}4\r\ngood\r\n0\r\n nonsense\r\n\r\n`, "good"],
])(
  "a body that breaks in %s: the client gets the head and what was good, then the cut, in one packet and in two",
  async (_, bytes, good) => {
    for (const version of ["1.1", "1.0"]) {
      for (const packets of [1, 2]) {
        const upstream = await rawUpstream();
        const daemon = await startDaemon(["--http", String(upstream.port)]);
        const client = await dial(daemon.port);
        client.send(head(`GET / HTTP/${version}`, "Host: a"));
        const peer = await upstream.next();
        await peer.readUntil("\r\n\r\n");
        if (packets === 1) peer.send(bytes);
        else {
          peer.send(bytes.slice(0, -5));
          await client.readUntil("\r\n\r\n");
          peer.send(bytes.slice(-5));
        }
        expect(await client.ended, `${version}, ${packets}`).toBe(version === "1.1" ? "fin" : "rst");
        expect(client.received()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
        expect(client.received().slice(client.received().indexOf("\r\n\r\n") + 4)).toBe(
          version === "1.0" || good === "" ? good : `4\r\n${good}\r\n`,
        );
        const line = await daemon.logged(({ msg }) => msg === "request ended", "the exchange");
        expect(line).toMatchObject({
          status: 200,
          by: "upstream",
          how: "protocol",
          phase: "response_body",
          bytesOut: good.length,
        });
      }
    }
  },
);
