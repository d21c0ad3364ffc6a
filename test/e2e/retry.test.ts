import { expect, test, vi } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type LogLine, type TestDaemon } from "../kit/daemon.ts";
import { client } from "../kit/load.ts";
import { controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { until } from "../kit/until.ts";
import { httpUpstream, rawUpstream, type RawUpstream } from "../kit/upstream.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 30_000 });

interface LoggedAttempt {
  reused: boolean;
  idleMs: number;
  code?: string;
  phase: string;
  times: number;
}
const attemptsOf = (line: LogLine): LoggedAttempt[] => line["attempts"] as LoggedAttempt[];

/** One that resets each connection once a whole request has come. */
async function resettingUpstream(whole = /\r\n\r\n/): Promise<RawUpstream> {
  return await rawUpstream((peer) => {
    peer.socket.on("data", () => {
      if (whole.test(peer.received())) peer.reset();
    });
  });
}

const start = (upstream: { port: number }, ...args: string[]): Promise<TestDaemon> =>
  startDaemon(["--http", String(upstream.port), "--probe-interval", "0", ...args]);

test("stale-socket: the log says how long the connection had been idle and what became of it", async () => {
  // Answers the first request of a connection and resets at the second, like a NAT that has forgotten it.
  const upstream = await rawUpstream((peer) => {
    let requests = 0;
    peer.socket.on("data", () => {
      requests += 1;
      if (requests > 1) peer.reset();
      else peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  const first = await ask({ path: "/first" });
  const answer = await ask({ path: "/second" });
  expect(answer.status).toBe(200);
  const line = await daemon.logged(({ path }) => path === "/second", "the second request");
  expect(line).toMatchObject({ how: "done", status: 200 });
  expect(attemptsOf(line)).toEqual([
    { reused: true, idleMs: expect.any(Number), code: "ECONNRESET", phase: "waiting", times: 1 },
    { reused: false, idleMs: 0, phase: "waiting", times: 1 },
  ]);
  expect(attemptsOf(line)[0]?.idleMs).toBeLessThanOrEqual(answer.ended - first.began);
});

test.each([
  ["GET", {}, 3],
  ["HEAD", {}, 3],
  ["OPTIONS", {}, 3],
  ["PUT", { "Content-Length": "0" }, 3],
  ["DELETE", {}, 3],
  ["POST", { "Content-Length": "0" }, 1],
  ["PATCH", { "Content-Length": "0" }, 1],
  ["POST", { "Content-Length": "0", "Idempotency-Key": "k1" }, 3],
  ["PATCH", { "Content-Length": "0", "Idempotency-Key": "k1" }, 3],
])("%s %o to an upstream that resets every connection is tried %i times, then 502", async (method, headers, times) => {
  const upstream = await resettingUpstream();
  const daemon = await start(upstream);
  const answer = await client(daemon.port)({ method, headers });
  expect(answer.status).toBe(502);
  expect(upstream.accepted).toHaveLength(times);
  if (method !== "HEAD") {
    expect(JSON.parse(answer.body)).toMatchObject({
      error: { code: "upstream_reset", status: 502, upstream: "http", attempts: times },
    });
  }
  const line = await daemon.logged(({ error }) => error === "upstream_reset", "its end");
  expect(line).toMatchObject({ by: "upstream", how: "rst" });
  const attempt = { reused: false, idleMs: 0, code: "ECONNRESET", phase: "waiting", times: 1 };
  expect(attemptsOf(line)).toEqual(Array.from({ length: times }, () => attempt));
});

test("an upstream that closes politely without an answer is tried as often", async () => {
  const upstream = await rawUpstream((peer) => peer.socket.once("data", () => peer.halfClose()));
  const daemon = await start(upstream);
  expect((await client(daemon.port)()).status).toBe(502);
  expect(upstream.accepted).toHaveLength(3);
});

test("an upstream that resets every upgrade is tried three times, then 502", async () => {
  const upstream = await resettingUpstream();
  const daemon = await start(upstream, "--mux", `${upstream.port}/mux`);
  const answer = await client(daemon.port)({
    path: "/mux",
    headers: {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
  });
  expect(answer.status).toBe(502);
  expect(JSON.parse(answer.body)).toMatchObject({ error: { upstream: "mux", attempts: 3 } });
  expect(upstream.accepted).toHaveLength(3);
});

test("nothing is tried again after the first byte of a response", async () => {
  const upstream = await rawUpstream((peer) => {
    peer.socket.once("data", () => {
      peer.send("HTTP/1.1 2");
      peer.halfClose();
    });
  });
  const daemon = await start(upstream);
  expect((await client(daemon.port)()).status).toBe(502);
  expect(upstream.accepted).toHaveLength(1);
});

const KIB64 = 64 * 1024;
test.each([
  ["of 64 KiB is sent again", KIB64, 3],
  ["of one byte more is not", KIB64 + 1, 1],
])("a PUT with a body %s", async (_what, length, times) => {
  const body = Buffer.alloc(length, "0123456789abcdef");
  const upstream = await rawUpstream((peer) => {
    let bytes = 0;
    peer.socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > length && peer.received().split("\r\n\r\n")[1]?.length === length) peer.reset();
    });
  });
  const daemon = await start(upstream);
  const answer = await client(daemon.port)({ method: "PUT", body });
  expect(answer.status).toBe(502);
  const bodies = upstream.accepted.map((peer) => peer.received().split("\r\n\r\n")[1] === body.toString("latin1"));
  expect(bodies).toEqual(Array.from({ length: times }, () => true));
});

test.each([
  ["longer than can be kept", { "Content-Length": String(KIB64 + 1) }, Buffer.alloc(KIB64 + 1)],
  ["of unknown length", { "Transfer-Encoding": "chunked" }, Buffer.from("short, but who knows")],
])("a PUT with a body %s takes a fresh connection, as a POST does", async (_what, headers, body) => {
  let connections = 0;
  const upstream = await httpUpstream((req, res) => void req.resume().on("end", () => res.end("ok")));
  upstream.server.on("connection", () => (connections += 1));
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  expect((await ask()).status).toBe(200);
  expect((await ask({ method: "PUT", headers, body })).status).toBe(200);
  expect(connections).toBe(2);
  expect((await ask({ method: "PUT", body: "short" })).status).toBe(200);
  expect(connections).toBe(2);
});

test("the time an attempt had left does not end the wait for the next connection", async () => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream, "--response-timeout", "400ms");
  const answer = client(daemon.port)();
  const sent = await upstream.next();
  await sent.readUntil("\r\n\r\n");
  const began = performance.now();
  await upstream.kill();
  await until(() => performance.now() - began > 600, "longer than the response may take");
  await httpUpstream((_req, res) => res.end("ok"), upstream.port);
  expect((await answer).status).toBe(200);
});

test("a body that was interrupted is sent again from its beginning, and goes on from where it was", async () => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream);
  const uploader = await dial(daemon.port);
  uploader.send(head("PUT /x HTTP/1.1", "Host: a", "Content-Length: 10"));
  uploader.send("01234");
  const first = await upstream.next();
  await first.readUntil("\r\n\r\n01234");
  first.reset();
  const second = await upstream.next();
  await second.readUntil("\r\n\r\n01234");
  uploader.send("56789");
  await second.readUntil("\r\n\r\n0123456789");
  second.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  await uploader.readUntil("HTTP/1.1 201 Created");
});

test.each(["fin", "rst"] as const)("once the client has left with a %s, no attempt is made any more", async (how) => {
  const upstream = await rawUpstream();
  const daemon = await start(upstream);
  for (let abortedAt = 1; abortedAt <= 3; abortedAt++) {
    const leaving = await dial(daemon.port);
    leaving.send(head(`GET /left-at-${abortedAt} HTTP/1.1`, "Host: a"));
    let peer: RawClient | undefined;
    for (let attempt = 1; attempt <= abortedAt; attempt++) {
      if (peer) peer.reset();
      peer = await upstream.next();
      await peer.readUntil("\r\n\r\n");
    }
    if (how === "rst") leaving.reset();
    else leaving.halfClose();
    // The connection of the attempt in flight is ended at once.
    await peer?.ended;
    const line = await daemon.logged(({ path }) => path === `/left-at-${abortedAt}`, "its end");
    expect(line).toMatchObject({ by: "client", how, status: 0 });
    expect(attemptsOf(line)).toHaveLength(abortedAt);
    // The next connection is of the next request, not a further attempt of this one.
    const other = await dial(daemon.port);
    other.send(head(`GET /next HTTP/1.1`, "Host: a", "Connection: close"));
    const next = await upstream.next();
    expect(await next.readUntil("\r\n\r\n")).toContain("GET /next ");
    next.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    await other.readUntil("204 No Content");
  }
  expect(upstream.accepted).toHaveLength(1 + 2 + 3 + 3);
});

test.each([
  ["length", `Content-Length: 8000`, (body: string) => body, (text: string) => text],
  [
    "chunks",
    "Transfer-Encoding: chunked",
    (body: string) => `${body.length.toString(16)}\r\n${body}\r\n`,
    (text: string) =>
      text
        .split("\r\n")
        .filter((_, n) => n % 2 === 1)
        .join(""),
  ],
])(
  "an upload by %s that outgrows the replay buffer while it waits for its next attempt is sent whole",
  async (_, field, framed, unframed) => {
    const first = await rawUpstream();
    const env = ownRuntime();
    const daemon = await startDaemon(["--http", String(first.port), "--replay-buffer", "4k"], env);
    const control = controlSocket(env, daemon.port);
    const from = await dial(daemon.port);
    const body = "the first bytes, and ".padEnd(7999, "more ") + ".";
    from.send(head("PUT / HTTP/1.1", "Host: a", field) + framed(body.slice(0, 9)));
    const peer = await first.next();
    await peer.readUntil(/the first/);
    await first.kill();
    await until(async () => (await statusOf(control)).held === 1, "the request to be held");
    from.send(framed(body.slice(9)) + (field.startsWith("T") ? "0\r\n\r\n" : ""));
    await until(() => daemon.unread(from.socket.localPort ?? 0) === 0, "the rest to be read");
    const second = await rawUpstream(undefined, first.port);
    const again = await second.next();
    const text = await again.readUntil(/\.(\r\n0\r\n\r\n)?$/);
    expect(unframed(text.slice(text.indexOf("\r\n\r\n") + 4))).toBe(body);
    again.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect(await from.readUntil("ok")).toContain("200 OK");
  },
);
