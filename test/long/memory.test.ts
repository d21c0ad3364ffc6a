// The worst case of memory, which README states: every limit of the defaults is filled at once with the clients that
// cost most, in a heap of 512 MB, while bystanders are served. Where each piece was an object
// (test/long/many-pieces.test.ts), an eighth of these clients ended the process.

import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Report } from "../../src/ops/report.ts";
import { askAdmin } from "../kit/admin.ts";
import { downloadBystander, tunnelBystander } from "../kit/bystanders.ts";
import { dial, head, upgrade, wrap, type RawClient } from "../kit/client.ts";
import { tempFolder } from "../kit/child.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { atEnd } from "../kit/lifetime.ts";
import { ask } from "../kit/messages.ts";
import { SWITCHING } from "../kit/tunnel.ts";
import { until, within } from "../kit/until.ts";
import { muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { BINARY, frameHeader } from "../kit/wire.ts";

/** The defaults of --max-connections, --max-tunnels and --max-held. */
const [CONNECTIONS, TUNNELS, HELD] = [4096, 1000, 512];
/** The two bystanders, one of which is a tunnel. */
const BYSTANDERS = 2;
const FLOOD = Buffer.alloc(1024 * 1024, "x");
/** What fills the buffers of a unix socket, and then more than one read of small chunks. */
const PIECES = Buffer.from(`40000\r\n${"x".repeat(0x40000)}\r\n${`40\r\n${"x".repeat(64)}\r\n`.repeat(2000)}`);
const SHORT_REQUESTS = Buffer.from("GET / HTTP/1.1\r\nHost:\r\n\r\n".repeat(20_000));
const UPLOAD = head("PUT /upload HTTP/1.1", "Host: a", "Transfer-Encoding: chunked");

/** An upstream's side of a client: it takes no more, or gives more than is taken. */
function serve(peer: RawClient): void {
  peer.socket.once("data", () => {
    const path = /^\S+ (\S+)/.exec(peer.received())?.[1];
    if (path === "/bystander") return;
    peer.stall();
    if (path === "/download") {
      peer.send(head("HTTP/1.1 200 OK", `Content-Length: ${FLOOD.length * 8}`));
      peer.socket.write(FLOOD);
    } else if (path === "/mux") {
      peer.send(SWITCHING);
      peer.socket.write(frameHeader({ opcode: BINARY }, FLOOD.length, false));
      peer.socket.write(FLOOD);
    }
  });
}

/** Clients that send this, and then read nothing; resolves when all have sent as much as is taken from them. */
async function floods(port: number, count: number, ...bytes: (string | Buffer)[]): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(100, count - sockets.length) }, async () => {
      const socket = connect({ port, host: "127.0.0.1" }).on("error", () => {});
      atEnd(() => void socket.destroy());
      await within(new Promise((resolve) => socket.once("connect", resolve)), "a connection", 20_000);
      socket.pause();
      for (const one of bytes) socket.write(one);
      return socket;
    });
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

/** The memory of a process, in MB (proc_pid_status). */
function memoryOf({ pid }: TestDaemon, what: "VmHWM" | "VmRSS"): number {
  return Number(new RegExp(`^${what}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

test("every limit is filled at once, and bystanders are served", { timeout: 300_000 }, async () => {
  // On a unix socket: the kernel takes 200 KB for whoever does not read, and megabytes on TCP.
  const peers: RawClient[] = [];
  const web = createServer({ allowHalfOpen: true }, (socket) => {
    const peer = wrap(socket);
    peers.push(peer);
    serve(peer);
  });
  const path = join(tempFolder(), "web");
  await new Promise<void>((resolve) => web.listen(path, resolve));
  atEnd(() => {
    for (const { socket } of peers) socket.destroy();
  });
  const [terminals, echo] = [await rawUpstream(serve), await muxUpstream()];
  const muxes = ["--mux", `/mux=${terminals.port}/mux`, "--mux", `/echo=${echo.port}/mux`];
  // Else those that came first would be found to be stalled before the last ones are there.
  const times = ["hold", "ping-interval", "stall-timeout", "body-timeout", "response-timeout"];
  const own = ["--admin", "127.0.0.1:0", ...muxes, ...times.flatMap((name) => [`--${name}`, "10m"])];
  const daemon = await startDaemon(["--http", `unix:${path}`, ...own], {
    NODE_OPTIONS: "--max-old-space-size=512",
  });
  const report = async (): Promise<Report> => JSON.parse(await askAdmin(daemon, "/status")) as Report;
  const bystanders = [
    await downloadBystander(
      () => dial(daemon.port),
      () => until(() => peers[0], "the bystander at the upstream"),
    ),
    await tunnelBystander(() => new WebSocket(`ws://127.0.0.1:${daemon.port}/echo`)),
  ];
  const costs: Record<string, number> = {};
  const all: Socket[] = [];
  const fill = async (what: string, count: number, ...bytes: (string | Buffer)[]): Promise<void> => {
    const before = memoryOf(daemon, "VmRSS");
    all.push(...(await floods(daemon.port, count, ...bytes)));
    await until(async () => (await report()).connections >= all.length + BYSTANDERS, `${count} of ${what}`, 60_000);
    for (const bystander of bystanders) await bystander.check();
    costs[what] = Math.round(((memoryOf(daemon, "VmRSS") - before) / count) * 1024);
  };
  const masked = [upgrade("/mux"), frameHeader({ opcode: BINARY }, FLOOD.length, true), FLOOD];
  await fill("tunnels", TUNNELS - 1, ...masked);
  await until(async () => (await report()).links[1]?.tunnels === TUNNELS - 1, "all tunnels", 60_000);
  expect((await ask(daemon.port, upgrade("/mux"))).status, "one tunnel more").toBe(503);
  const rest = CONNECTIONS - BYSTANDERS - all.length - HELD;
  const third = Math.floor(rest / 3);
  await fill("uploads that are not taken", third, UPLOAD, PIECES);
  await fill("downloads that are not taken", third, head("GET /download HTTP/1.1", "Host: a"));
  await fill(
    "requests behind one that waits",
    rest - 2 * third - 1,
    head("GET /wait HTTP/1.1", "Host: a"),
    SHORT_REQUESTS,
  );
  // From now on nobody can connect to it; who is connected stays.
  web.close();
  await fill("uploads that are held", HELD, UPLOAD, PIECES);
  await until(async () => (await report()).held === HELD, "all that are held", 60_000);
  expect((await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"))).field("x-single-port-error")).toBe("too_many");
  all.push(...(await floods(daemon.port, 1)));
  await until(async () => (await report()).connections === CONNECTIONS, "every connection", 20_000);
  expect((await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"))).status, "one connection more").toBe(503);
  for (const bystander of bystanders) await bystander.check();
  const peak = memoryOf(daemon, "VmHWM");
  console.info(`KiB for each: ${JSON.stringify(costs)}; ${Math.round(peak)} MB in all`);
  // README: 200 KB for each connection, and 100 MB for the program.
  expect(peak).toBeLessThan(CONNECTIONS * 0.2 + 100);
  // By RST: the FIN of a client stands behind what nobody takes, and to hear it could take the ten minutes of the
  // limits.
  for (const socket of all) socket.resetAndDestroy();
  await until(async () => (await report()).connections === BYSTANDERS, "all of them to be gone", 120_000);
  for (const bystander of bystanders) await bystander.finish();
});
