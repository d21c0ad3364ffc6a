// POST and PATCH on pooled connections: when they take one, and what becomes of them when it is stale.

import { expect, test, vi } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type LogLine, type TestDaemon } from "../kit/daemon.ts";
import { client, type Answer } from "../kit/load.ts";
import { until } from "../kit/until.ts";
import { rawUpstream, type RawUpstream } from "../kit/upstream.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 60_000 });

const PATIENCE_MS = 30_000;
const PROMISE = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=60\r\n\r\nok";
const NO_PROMISE = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Answers each request once its body is there, and begins no answer to one that asks for it. */
const answering = (answer = PROMISE): Promise<RawUpstream> =>
  rawUpstream((peer) => {
    let answered = 0;
    peer.socket.on("data", () => {
      const text = peer.received().slice(answered);
      const [, length = "0"] = /content-length: (\d+)/i.exec(text) ?? [];
      const end = text.indexOf("\r\n\r\n");
      const isWhole = /transfer-encoding/i.test(text)
        ? text.endsWith("0\r\n\r\n")
        : text.length - end - 4 >= Number(length);
      if (end < 0 || !isWhole || /^\w+ \/silent/.test(text)) return;
      answered += text.length;
      peer.send(answer);
    });
  });

const start = (upstream: { port: number }, ...args: string[]): Promise<TestDaemon> =>
  startDaemon(["--http", String(upstream.port), "--probe-interval", "0", "--recycle", "60s", ...args]);

const posts = (upstream: RawUpstream): string[] =>
  upstream.accepted.flatMap((peer) => peer.received().match(/^(POST|PATCH) \S+/gm) ?? []);

test.each([
  ["POST", 0],
  ["POST", 10 * 1024],
  ["PATCH", 100],
])("a %s of %i bytes takes a pooled connection that the upstream has promised to keep", async (method, bytes) => {
  const upstream = await answering();
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  const asked = { method, headers: { "Content-Length": String(bytes) }, body: Buffer.alloc(bytes, "b") };
  await ask();
  for (let i = 0; i < 3; i++) expect((await ask(asked)).status).toBe(200);
  expect(upstream.accepted).toHaveLength(1);
  expect(upstream.accepted[0]?.received().split("b".repeat(bytes || 1e6))).toHaveLength(bytes === 0 ? 1 : 4);
});

const LARGE = Buffer.alloc(17 * 1024, "b");
test.each([
  ["promised nothing", NO_PROMISE, { body: "b" }, []],
  ["promised less than a moment", NO_PROMISE.replace("\r\n", "\r\nKeep-Alive: timeout=0\r\n"), { body: "b" }, []],
  ["would get a long body", PROMISE, { body: LARGE, headers: { "Content-Length": String(LARGE.length) } }, []],
  ["would get a body of unknown length", PROMISE, { body: "b", headers: { "Transfer-Encoding": "chunked" } }, []],
  ["could not get it again", PROMISE, { body: "b", headers: { "Content-Length": "1" } }, ["--replay-buffer", "0"]],
])("a POST takes a fresh connection to an upstream that %s", async (_what, answer, asked, args) => {
  const upstream = await answering(answer);
  const daemon = await start(upstream, ...args);
  const ask = client(daemon.port);
  await ask();
  expect((await ask({ method: "POST", ...asked })).status).toBe(200);
  expect(upstream.accepted).toHaveLength(2);
});

test("a POST whose body does not come with it, or only after a 100, goes up at once on a fresh connection", async () => {
  const upstream = await answering();
  const daemon = await start(upstream);
  await client(daemon.port)();
  upstream.skip();
  for (const field of ["X-Slow: 1", "Expect: 100-continue"]) {
    const slow = await dial(daemon.port);
    slow.send(head("POST /slow HTTP/1.1", "Host: a", "Content-Length: 4", field));
    const fresh = await upstream.next(PATIENCE_MS);
    await fresh.readUntil("\r\n\r\n", PATIENCE_MS);
    slow.send("body");
    await slow.readUntil("200 OK", PATIENCE_MS);
    expect(fresh.received()).toMatch(/body$/);
  }
});

test("a client that leaves before its body is there leaves nothing behind", async () => {
  const upstream = await answering();
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  await ask();
  const leaving = await dial(daemon.port);
  leaving.send(head("POST /leaves HTTP/1.1", "Host: a", "Content-Length: 4"));
  leaving.halfClose();
  const line = await daemon.logged(({ path }) => path === "/leaves", "its end");
  expect(line).toMatchObject({ by: "client", status: 0 });
  expect((await ask({ method: "POST", body: "b" })).status).toBe(200);
});

test.each([
  ["closes", (peer: RawClient) => void peer.socket.destroy()],
  ["resets", (peer: RawClient) => peer.reset()],
  ["writes to", (peer: RawClient) => peer.send("HTTP/1.1 200 OK\r\n")],
])("once an upstream %s a connection that it had promised to keep, POSTs dial", async (_what, end) => {
  const upstream = await answering();
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  await ask();
  const first = await upstream.next();
  end(first);
  await first.ended;
  // One that is there and promised.
  await ask();
  expect(upstream.accepted).toHaveLength(2);
  for (let i = 3; i < 6; i++) {
    expect((await ask({ method: "POST", headers: { "Content-Length": "1" }, body: "b" })).status).toBe(200);
    expect(upstream.accepted).toHaveLength(i);
  }
});

const attemptsOf = (line: LogLine): unknown => line["attempts"];

test.each([
  ["closed", "fin", (peer: RawClient): void => void peer.socket.destroy()],
  ["reset", "rst", (peer: RawClient): void => peer.reset()],
] as const)("a POST that is read, and then %s without an answer, is not sent again", async (_what, how, end) => {
  const upstream = await answering();
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  await ask();
  const first = await upstream.next();
  const answer = ask({ method: "POST", path: "/silent", headers: { "Content-Length": "4" }, body: "once" });
  await first.readUntil("once");
  end(first);
  expect(await answer).toMatchObject({ status: 502, body: expect.stringContaining("upstream_reset") });
  const line = await daemon.logged(({ error }) => error === "upstream_reset", "its end");
  expect(line).toMatchObject({ by: "upstream", how });
  expect(attemptsOf(line)).toEqual([
    { reused: true, idleMs: expect.any(Number), code: "ECONNRESET", phase: "waiting", times: 1 },
  ]);
  expect(posts(upstream)).toEqual(["POST /silent"]);
  // From now on they dial.
  await ask();
  const before = upstream.accepted.length;
  expect((await ask({ method: "POST", headers: { "Content-Length": "1" }, body: "b" })).status).toBe(200);
  expect(upstream.accepted).toHaveLength(before + 1);
});

test.each([
  ["closed", (peer: RawClient) => void peer.socket.destroy()],
  ["reset", (peer: RawClient) => peer.reset()],
])(
  "a POST that comes together with the news that its connection was %s is answered, and seen once",
  async (_what, end) => {
    const upstream = await answering();
    const daemon = await start(upstream);
    const ask = client(daemon.port, 1);
    await ask();
    const first = await upstream.next();
    process.kill(daemon.pid, "SIGSTOP");
    end(first);
    const answer: Promise<Answer> = ask({
      method: "POST",
      path: "/once",
      headers: { "Content-Length": "4" },
      body: "once",
    });
    await until(() => first.socket.closed, "the connection to be gone");
    process.kill(daemon.pid, "SIGCONT");
    expect(await answer).toMatchObject({ status: 200 });
    expect(posts(upstream)).toEqual(["POST /once"]);
  },
);
