import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { silentUpstream } from "../kit/child.ts";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { client } from "../kit/load.ts";
import { adminSocket } from "../kit/report.ts";
import { deadPort, httpUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 30_000 });

interface QueueDaemon extends TestDaemon {
  /** Resolves when so many requests are held. */
  holds(count: number): Promise<unknown>;
}

async function start(port: number, ...args: string[]): Promise<QueueDaemon> {
  const admin = adminSocket();
  const daemon = await startDaemon(["--http", String(port), "--probe-interval", "0", ...admin.args, ...args]);
  const holds = (count: number): Promise<boolean> =>
    until(async () => (await admin.report())?.held === count, `${count} held`);
  return { ...daemon, holds };
}

async function ask(daemon: TestDaemon, path: string): Promise<RawClient> {
  const asking = await dial(daemon.port);
  asking.send(head(`GET ${path} HTTP/1.1`, "Host: a"));
  return asking;
}

/** How many connects to a port wait for an answer (state 02, SYN-SENT). */
function dialling(port: number): number {
  const to = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 02 `;
  return readFileSync("/proc/net/tcp", "latin1").split(to).length - 1;
}

const residentMiB = ({ pid }: TestDaemon): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

test("of 600 at once 512 are held and 88 refused at once; all 512 are served in order of arrival", async () => {
  const port = await deadPort();
  const daemon = await start(port);
  const clients: RawClient[] = [];
  for (let i = 0; i < 600; i++) clients.push(await dial(daemon.port));
  await until(() => daemon.sockets() >= 600, "all of them to be accepted", 5000);
  const sent = performance.now();
  for (const [i, one] of clients.entries()) one.send(head(`GET /${i} HTTP/1.1`, "Host: a"));
  const refused = await until(
    () => {
      const some = clients.filter((one) => one.received() !== "");
      return some.length >= 88 ? some : undefined;
    },
    "88 answers",
    5000,
  );
  // At once: long before anybody's hold is over.
  expect(performance.now() - sent).toBeLessThan(4000);
  for (const one of refused) {
    await one.readUntil('"code":"too_many"');
    expect(one.received()).toMatch(/^HTTP\/1\.1 503 [^]*\r\nRetry-After: 1\r\n/);
  }

  const order: number[] = [];
  await httpUpstream((req, res) => {
    order.push(Number(req.url?.slice(1)));
    res.end("served");
  }, port);
  const held = clients.filter((one) => !refused.includes(one));
  expect(held).toHaveLength(512);
  await until(() => held.every((one) => one.received().endsWith("served")), "all 512 to be served", 8000);
  // Arrival is the order in which they were sent: one after another, by one process.
  expect(order).toEqual(order.toSorted((a, b) => a - b));
});

test("uploads that are held cost no memory, whatever their size, and arrive complete", async () => {
  const megabytes = 12;
  const port = await deadPort();
  const daemon = await start(port);
  const before = residentMiB(daemon);
  const body = Buffer.alloc(megabytes * 2 ** 20, "x");
  const sockets: Socket[] = [];
  for (let i = 0; i < 32; i++) {
    const socket = connect(daemon.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    sockets.push(socket);
    await once(socket, "connect");
    socket.write(head("POST / HTTP/1.1", "Host: a", `Content-Length: ${body.length}`));
    socket.write(body);
  }
  let unsent = -1;
  let unchanged = 0;
  await until(
    () => {
      const now = sockets.reduce((sum, socket) => sum + socket.writableLength, 0);
      unchanged = now === unsent ? unchanged + 1 : 0;
      unsent = now;
      return unchanged > 20;
    },
    "the uploads to stand still",
    8000,
  );
  expect(residentMiB(daemon) - before).toBeLessThan(64);

  let received = 0;
  await httpUpstream((req, res) => {
    let bytes = 0;
    req.on("data", (chunk: Buffer) => (bytes += chunk.length));
    req.on("end", () => {
      received += bytes;
      res.end("got it");
    });
  }, port);
  await Promise.all(sockets.map((socket) => once(socket, "data")));
  expect(received).toBe(32 * body.length);
});

test.each(["fin", "rst"] as const)("a client that leaves with a %s while it is held makes room", async (how) => {
  const port = await deadPort();
  const daemon = await start(port, "--max-held", "1");
  const leaving = await ask(daemon, "/leaving");
  await daemon.holds(1);
  expect((await client(daemon.port)()).status).toBe(503);
  if (how === "rst") leaving.reset();
  else leaving.halfClose();
  const line = await daemon.logged(({ path }) => path === "/leaving", "its end");
  expect(line).toMatchObject({ by: "client", how, status: 0, phase: "connect" });
  expect(line["attempts"]).toMatchObject([{ code: "ECONNREFUSED", phase: "connect" }]);

  await daemon.holds(0);
  const staying = await ask(daemon, "/staying");
  await daemon.holds(1);
  const seen: string[] = [];
  await httpUpstream((req, res) => {
    seen.push(req.url ?? "");
    res.end("served");
  }, port);
  await staying.readUntil("served");
  expect(seen).toEqual(["/staying"]);
});

test("a client that leaves while its connection is being made ends that, too", async () => {
  const { port } = await silentUpstream();
  const daemon = await start(port, "--connect-timeout", "60s", "--hold", "60s");
  const leaving = await ask(daemon, "/leaving");
  await until(() => dialling(port) === 1, "a dial");
  leaving.reset();
  await until(() => dialling(port) === 0, "it to be gone");
  expect(await daemon.logged(({ path }) => path === "/leaving", "its end")).toMatchObject({
    by: "client",
    phase: "connect",
    attempts: [],
  });
});

test("a held request gets its 503 when its hold is over, also in the middle of a slow connect", async () => {
  const daemon = await start((await silentUpstream()).port, "--connect-timeout", "1s", "--hold", "1200ms");
  const answer = await client(daemon.port)();
  expect(answer.status).toBe(503);
  expect(JSON.parse(answer.body)).toMatchObject({ error: { code: "upstream_unavailable", attempts: 1 } });
  // The hold, and the quarter of a second between two looks; not the rest of the second connect.
  expect(answer.ended - answer.began).toBeGreaterThanOrEqual(1190);
  expect(answer.ended - answer.began).toBeLessThan(2000);
});

test("--hold 0 refuses at once", async () => {
  const daemon = await start(await deadPort(), "--hold", "0");
  const answer = await client(daemon.port)();
  expect(JSON.parse(answer.body)).toMatchObject({ error: { code: "upstream_unavailable", status: 503, attempts: 1 } });
  expect(answer.headers["retry-after"]).toBe("1");
});

test("the attempts of a held request are one entry in the log, with their number", async () => {
  const daemon = await start(await deadPort(), "--hold", "1s");
  await client(daemon.port)({ path: "/held" });
  const line = await daemon.logged(({ path }) => path === "/held", "its end");
  const [attempt, ...others] = line["attempts"] as { times: number }[];
  expect(others).toEqual([]);
  expect(attempt).toMatchObject({ reused: false, code: "ECONNREFUSED", phase: "connect" });
  expect(attempt?.times).toBeGreaterThanOrEqual(3);
  expect(attempt?.times).toBeLessThanOrEqual(6);
});

// Under a successor it is held on, and served if the upstream comes back in time: takeover.test.ts.
test("a request that is held when we stop is told so, at once", async () => {
  const daemon = await start(await deadPort(), "--drain", "1m");
  const held = await ask(daemon, "/held");
  const other = client(daemon.port)();
  await daemon.holds(2);
  daemon.child.kill("SIGTERM");
  expect(await held.readUntil('"code":"draining"', 3000)).toMatch(/^HTTP\/1\.1 503 [^]*\r\nConnection: close\r\n/i);
  expect((await other).status).toBe(503);
  expect(await daemon.exited).toBe(0);
  expect(await held.ended).toBe("fin");
});
