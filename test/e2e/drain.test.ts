// SIGTERM while everything is open: what is in flight is finished, and all other clients are told.

import { fork } from "node:child_process";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { dial, head, type RawClient } from "../kit/client.ts";
import { BIN, cleanEnv, NODE, startDaemon } from "../kit/daemon.ts";
import { openStream } from "../kit/events.ts";
import { watch } from "../kit/launch.ts";
import { client } from "../kit/load.ts";
import { endOf, nextResponse } from "../kit/messages.ts";
import { accepts, ownRuntime } from "../kit/ops.ts";
import { deadPort, httpUpstream, muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { every, until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const GET = head("GET / HTTP/1.1", "Host: a");

/** The code with which each of so many tunnels is closed; resolves when all are open. */
async function openTunnels(port: number, count: number): Promise<Promise<number>[]> {
  const sockets = Array.from({ length: count }, () => new WebSocket(`ws://127.0.0.1:${port}/mux`));
  onTestFinished(() => {
    for (const socket of sockets) socket.terminate();
  });
  const closed = sockets.map((socket) => new Promise<number>((resolve) => socket.once("close", resolve)));
  for (const socket of sockets) socket.on("error", () => {});
  await until(() => sockets.every(({ readyState }) => readyState === WebSocket.OPEN), `${count} tunnels`, 8000);
  return closed;
}

test("a response, an upload, an event stream, 100 tunnels and 50 idle connections at SIGTERM", async () => {
  let release: (() => void) | undefined;
  const web = await httpUpstream((req, res) => {
    if (req.url === "/events") {
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      res.write("data: hello\n\n");
    } else if (req.url === "/slow") {
      res.write("first half, ");
      release = () => res.end("second half");
    } else if (req.method === "POST") {
      let bytes = 0;
      req.on("data", (chunk: Buffer) => (bytes += chunk.length)).on("end", () => res.end(`took ${bytes}`));
    } else res.end("ok");
  });
  const mux = await muxUpstream();
  const daemon = await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`], ownRuntime());
  const closed = await openTunnels(daemon.port, 100);
  const idle = await Promise.all(Array.from({ length: 50 }, () => dial(daemon.port)));
  await Promise.all(
    idle.map(async (one) => {
      one.send(GET);
      return await nextResponse(one);
    }),
  );
  const events = await openStream(daemon.port);
  const slow = await dial(daemon.port);
  slow.send(head("GET /slow HTTP/1.1", "Host: a"));
  await slow.readUntil("first half");
  const upload = await dial(daemon.port);
  upload.send(head("POST / HTTP/1.1", "Host: a", "Content-Length: 2000000"));
  upload.send("x".repeat(1_000_000));

  const asked = performance.now();
  daemon.child.kill("SIGTERM");
  expect(new Set(await within(Promise.all(closed), "the tunnels to be closed", 4000))).toEqual(new Set([1001]));
  expect(await within(events.ended, "the event stream to end")).toBe("cut");
  expect(await accepts(daemon.port)).toBe(false);
  upload.send("x".repeat(1_000_000));
  const taken = await nextResponse(upload);
  expect([taken.body, taken.field("connection")]).toEqual(["took 2000000", "close"]);
  release?.();
  expect((await nextResponse(slow)).body).toBe("first half, second half");
  // Until then one of them could have asked, and been told by the answer.
  expect(new Set(await Promise.all(idle.map((one) => endOf(one))))).toEqual(new Set(["fin"]));
  expect(await within(daemon.exited, "exit", 4000)).toBe(0);
  expect(performance.now() - asked).toBeLessThan(4500);
  expect(daemon.stderr()).toBe("");
});

test("a hundred held requests are answered at once, not at the end of the drain", async () => {
  const web = await deadPort();
  const daemon = await startDaemon(
    ["--http", String(web), "--drain", "1m", "--hold", "1m", "--admin", "127.0.0.1:0"],
    ownRuntime(),
  );
  const admin = await daemon.logged(({ msg }) => msg.startsWith("admin on "), "admin address");
  const ask = client(daemon.port);
  const answers = Array.from({ length: 100 }, (_, i) => ask(i % 2 === 0 ? {} : { method: "POST", body: "data" }));
  await until(
    async () => {
      const status = await fetch(`http://${admin.msg.slice("admin on ".length)}/status`);
      return ((await status.json()) as { held: number }).held === 100;
    },
    "100 held requests",
    5000,
  );
  daemon.child.kill("SIGTERM");
  for (const { status, headers, body } of await within(Promise.all(answers), "100 answers", 5000)) {
    expect([status, headers["retry-after"], headers["connection"]]).toEqual([503, "1", "close"]);
    expect(body).toContain('"draining"');
  }
  expect(await within(daemon.exited, "exit", 5000)).toBe(0);
});

test("a request whose head is on its way is still answered", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const daemon = await startDaemon(["--http", String(web.port)], ownRuntime());
  const late = await dial(daemon.port);
  late.send("GET / HTTP/1.1\r\nHost:");
  await until(() => daemon.unread(late.socket.localPort ?? 0) === 0, "it to be read");
  // Read by the process, and that it is has to be known to it, too.
  const idle = await dial(daemon.port);
  idle.send(GET);
  await nextResponse(idle);
  daemon.child.kill("SIGTERM");
  expect(await endOf(idle)).toBe("fin");
  late.send(" a\r\n\r\n");
  const answer = await nextResponse(late);
  expect([answer.body, answer.field("connection")]).toEqual(["ok", "close"]);
  expect(await within(daemon.exited, "exit", 5000)).toBe(0);
});

test("an event stream that begins while it drains is ended behind its head: its client comes back to whoever is next", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--drain", "1m"], ownRuntime());
  const client = await dial(daemon.port);
  client.send(head("GET /events HTTP/1.1", "Host: a", "Accept: text/event-stream"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  daemon.child.kill("SIGTERM");
  await daemon.logged(({ msg }) => msg === "draining", "draining");
  peer.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream"));
  await client.readUntil("200 OK");
  await within(client.ended, "the end");
  expect(await within(daemon.exited, "exit", 5000)).toBe(0);
});

test.each(["before", "in"])(
  "an upload whose answer came early, %s the drain, goes on, and its connection ends behind it",
  async (when) => {
    const up = await rawUpstream();
    const daemon = await startDaemon(["--http", String(up.port)]);
    const uploader = await dial(daemon.port);
    const bytes = "0123456789abcdefghij";
    uploader.send(head("POST / HTTP/1.1", "Host: a", `Content-Length: ${bytes.length}`));
    const peer = await up.next();
    await peer.readUntil("\r\n\r\n");
    // Its head promises to keep the connection in any case.
    peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 2")}o`);
    await uploader.readUntil("\r\n\r\no");
    const complete = async (): Promise<void> => {
      peer.send("k");
      expect((await nextResponse(uploader, "POST")).body).toBe("ok");
    };
    if (when === "before") await complete();
    daemon.child.kill("SIGTERM");
    await daemon.logged(({ msg }) => msg === "draining", "the drain");
    if (when === "in") await complete();
    // For longer than the second in which an idle client has to close.
    let sent = 0;
    const stop = every(75, () => void (sent < bytes.length && uploader.send(bytes[sent++] ?? "")));
    await peer.readUntil(bytes);
    stop();
    expect(await endOf(uploader)).toBe("fin");
    uploader.halfClose();
    expect(await within(daemon.exited, "the end")).toBe(0);
    expect(daemon.log.find(({ msg }) => msg === "request ended")).toMatchObject({ by: "upstream", how: "done" });
  },
);

test("who does not close after it was told to holds nobody up for long", async () => {
  const mux = await rawUpstream();
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const args = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--drain", "1m"];
  const daemon = await startDaemon(args, ownRuntime());
  // Neither answers a FIN (allowHalfOpen), nor a Close.
  const idle = await dial(daemon.port);
  idle.send(GET);
  await nextResponse(idle);
  const stuck = await silentTunnel(daemon.port, mux);
  daemon.child.kill("SIGTERM");
  await stuck.readUntil("\x88\x02\x03\xe9");
  expect(await within(daemon.exited, "exit", 5000)).toBe(0);
});

async function silentTunnel(port: number, mux: Awaited<ReturnType<typeof rawUpstream>>): Promise<RawClient> {
  const one = await dial(port);
  one.send(
    head("GET /mux HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
  );
  const peer = await mux.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"));
  await one.readUntil("101");
  return one;
}

test("a response that cannot be finished is cut off with a word at the end of the drain", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--drain", "1s"], ownRuntime());
  const [waiting, begun] = [await dial(daemon.port), await dial(daemon.port)];
  waiting.send(GET);
  await (await up.next()).readUntil("\r\n\r\n");
  begun.send(GET);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
  await begun.readUntil("12345");
  const asked = performance.now();
  daemon.child.kill("SIGTERM");
  const answer = await nextResponse(waiting);
  expect([answer.status, answer.body]).toEqual([503, expect.stringContaining('"draining"')]);
  expect(await endOf(begun)).toBe("fin");
  expect(begun.received()).toMatch(/12345$/);
  expect(await within(daemon.exited, "exit", 5000)).toBe(0);
  expect(performance.now() - asked).toBeGreaterThan(600);
});

test.each(["shutdown", { type: "shutdown" }])(
  "the message %j of an IPC parent ends it as SIGTERM does",
  async (word) => {
    const up = await rawUpstream();
    const env = cleanEnv(ownRuntime());
    const args = ["--http", String(up.port), "--port", "0", "--log-format", "json", "--probe-interval", "0"];
    const child = fork(BIN, args, { env, execPath: NODE, silent: true });
    const daemon = watch(child);
    const port = await daemon.port();
    const busy = await dial(port);
    busy.send(GET);
    const peer = await up.next();
    await peer.readUntil("\r\n\r\n");
    child.send(word);
    await daemon.logged(({ msg }) => msg === "draining", "draining");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await nextResponse(busy)).body).toBe("ok");
    expect(await within(daemon.exited, "exit", 5000)).toBe(0);
    expect(daemon.log().find(({ msg }) => msg === "stopping")?.["reason"]).toBe("shutdown message");
  },
);
