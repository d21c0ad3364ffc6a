import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { tempFolder } from "../kit/child.ts";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { client } from "../kit/load.ts";
import { until } from "../kit/until.ts";
import { httpUpstream, rawUpstream, type RawUpstream } from "../kit/upstream.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 30_000 });

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Answers each request; `answer` may add fields. */
const answering = (answer = OK): Promise<RawUpstream> =>
  rawUpstream((peer: RawClient) => peer.socket.on("data", () => peer.send(answer)));

const start = (upstream: { port: number | string }, ...args: string[]): Promise<TestDaemon> =>
  startDaemon(["--http", String(upstream.port), "--probe-interval", "0", ...args]);

test("one connection serves one request after another", async () => {
  const upstream = await answering();
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  for (let i = 0; i < 20; i++) expect((await ask()).status).toBe(200);
  expect(upstream.accepted).toHaveLength(1);
});

test.each(["POST", "PATCH"])(
  "a %s takes a fresh connection if none was promised, and leaves it behind for others",
  async (method) => {
    const upstream = await answering();
    const daemon = await start(upstream);
    const ask = client(daemon.port);
    await ask();
    await ask({ method, headers: { "Content-Length": "0" } });
    expect(upstream.accepted).toHaveLength(2);
    await ask();
    expect(upstream.accepted).toHaveLength(2);
    expect(upstream.accepted[1]?.received()).toContain("GET / ");
  },
);

test("a POST with an Idempotency-Key may be sent again, so it takes a pooled one", async () => {
  const upstream = await answering();
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  await ask();
  await ask({ method: "POST", headers: { "Idempotency-Key": "k", "Content-Length": "0" } });
  expect(upstream.accepted).toHaveLength(1);
});

test("a connection idle for longer than --recycle is closed by us, not reused", async () => {
  const upstream = await answering();
  const daemon = await start(upstream, "--recycle", "200ms");
  const ask = client(daemon.port);
  const answer = await ask();
  expect(await upstream.accepted[0]?.ended).toBe("fin");
  const idle = performance.now() - answer.ended;
  expect(idle).toBeGreaterThanOrEqual(150);
  await ask();
  expect(upstream.accepted).toHaveLength(2);
});

test("a shorter Keep-Alive hint of the upstream wins, with a fifth to spare", async () => {
  const hint = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=2\r\n\r\nok";
  const upstream = await answering(hint);
  const daemon = await start(upstream, "--recycle", "60s");
  const answer = await client(daemon.port)();
  expect(await upstream.accepted[0]?.ended).toBe("fin");
  const idle = performance.now() - answer.ended;
  expect(idle).toBeGreaterThanOrEqual(1500);
  expect(idle, "before the upstream does it itself").toBeLessThan(2000);
});

test.each([
  ["--recycle 0", OK, ["--recycle", "0"]],
  ["Keep-Alive: timeout=0", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=0\r\n\r\nok", []],
  ["Connection: close", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", []],
])("with %s no connection is kept", async (_what, answer, args) => {
  const upstream = await answering(answer);
  const daemon = await start(upstream, ...args);
  const ask = client(daemon.port);
  await ask();
  expect(await upstream.accepted[0]?.ended).toBe("fin");
  await ask();
  expect(upstream.accepted).toHaveLength(2);
});

test("bytes nobody asked for on an idle connection close it, and are no one's answer", async () => {
  const upstream = await answering();
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  await ask();
  upstream.accepted[0]?.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  await upstream.accepted[0]?.ended;
  expect((await ask()).body).toBe("ok");
  expect(upstream.accepted).toHaveLength(2);
});

test("a second answer in one piece with the first is no one's answer either", async () => {
  const upstream = await answering(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`);
  const daemon = await start(upstream);
  const ask = client(daemon.port);
  for (let i = 0; i < 3; i++) expect((await ask()).body).not.toBe("poison");
  expect(upstream.accepted).toHaveLength(3);
});

test("many POSTs do not pile up connections", async () => {
  const upstream = await httpUpstream((req, res) => {
    // Node then promises nothing, and each of them dials.
    res.setHeader("Connection", "keep-alive");
    req.resume().on("end", () => res.end("ok"));
  });
  const daemon = await start(upstream, "--recycle", "60s");
  const ask = client(daemon.port, 50);
  await Promise.all(Array.from({ length: 400 }, () => ask({ method: "POST", body: "x" })));
  const open = (): Promise<number> =>
    new Promise((resolve) => upstream.server.getConnections((_error, count) => resolve(count)));
  await until(async () => (await open()) <= 128, "the rest to be closed");
  expect(await open(), "the youngest are kept").toBeGreaterThan(100);
});

test("connections to a unix socket are pooled too", async () => {
  const path = join(tempFolder(), "app");
  let connections = 0;
  const upstream = await httpUpstream((_req, res) => res.end("ok"));
  upstream.server.on("connection", () => (connections += 1));
  const relay = createServer((near) => {
    const far = connect(upstream.port, "127.0.0.1");
    near.pipe(far).pipe(near);
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
  });
  await new Promise<void>((resolve) => relay.listen(path, resolve));
  const daemon = await startDaemon(["--http", `unix:${path}`, "--probe-interval", "0"]);
  const ask = client(daemon.port);
  for (let i = 0; i < 3; i++) expect((await ask()).body).toBe("ok");
  expect(connections).toBe(1);
  relay.close();
});

const SS = ["/usr/bin/ss", "/bin/ss", "/usr/sbin/ss"].find(existsSync);

/** The keepalive timer of the connection from a port to a port, in seconds; undefined if none is armed. */
function keepaliveSeconds(pid: number, filter: string[]): number | undefined {
  const lines = execFileSync(SS ?? "ss", ["-tnopH", "state", "established", ...filter], { encoding: "utf8" });
  const line = lines.split("\n").find((one) => one.includes(`pid=${pid},`));
  const timer = /timer:\(keepalive,(?:(\d+)min)?(?:([\d.]+)(ms|sec)?)?,/.exec(line ?? "");
  if (!timer) return undefined;
  const [, minutes = "0", rest = "0", unit] = timer;
  return Number(minutes) * 60 + Number(rest) / (unit === "ms" ? 1000 : 1);
}

// setKeepAlive(true, 0), or an option that is not honoured, means a first probe after two hours.
test.skipIf(!SS).each(["127.0.0.1", "localhost"])(
  "TCP keepalive is armed on both sides (upstream at %s): proved by the kernel's timers",
  async (host) => {
    const upstream = await rawUpstream();
    const daemon = await start({ port: `${host}:${upstream.port}` });
    const asking = await dial(daemon.port);
    asking.send(head("GET / HTTP/1.1", "Host: a"));
    const peer = await upstream.next();
    await peer.readUntil("\r\n\r\n");
    // The timer is shown once the bytes that were sent are acknowledged.
    const far = await until(
      () => keepaliveSeconds(daemon.pid, [`dport = :${upstream.port}`]),
      "a timer to the upstream",
    );
    const near = await until(() => keepaliveSeconds(daemon.pid, [`sport = :${daemon.port}`]), "a timer to the client");
    for (const seconds of [far, near]) {
      expect(seconds).toBeGreaterThan(5);
      expect(seconds).toBeLessThanOrEqual(15);
    }
  },
);
