// The memory of one connection, however small the pieces of its bytes are: short requests, and chunks of one byte.

import { readFileSync } from "node:fs";
import { text as textOf } from "node:stream/consumers";
import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { nextResponse } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { deadPort, httpUpstream, rawUpstream } from "../kit/upstream.ts";

const CLIENTS = 60;
/** What node buffers of each client's bytes are twice 64 KB; when each piece was an object, these were 4 to 11 MB. */
const MOST = 0.5 * 1024 * 1024;
const ONE_BYTE_CHUNKS = "1\r\nx\r\n".repeat(100_000);

/** The memory of a process, in bytes (proc_pid_status). */
function memoryOf({ pid }: TestDaemon): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** How much memory each of some clients costs that send `bytes`, once the daemon reads no more from any of them. */
async function costOf(daemon: TestDaemon, bytes: string): Promise<number> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => dial(daemon.port)));
  const before = memoryOf(daemon);
  for (const client of clients) client.send(bytes);
  const unread = ({ socket }: RawClient): number => daemon.unread(socket.localPort ?? 0);
  await until(() => clients.every((client) => unread(client) > 0), "bytes that are left to the kernel", 20_000);
  return (memoryOf(daemon) - before) / CLIENTS;
}

test("short requests behind one that waits cost no more than their bytes", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  expect(await costOf(daemon, "GET / HTTP/1.1\r\nHost:\r\n\r\n".repeat(20_000))).toBeLessThan(MOST);
}, 30_000);

test("chunks of one byte for an upstream that does not read cost no more than their bytes", async () => {
  const up = await rawUpstream((peer) => peer.stall());
  const daemon = await startDaemon(["--http", String(up.port)]);
  const put = head("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked");
  expect(await costOf(daemon, put + ONE_BYTE_CHUNKS)).toBeLessThan(MOST);
}, 30_000);

test("chunks of one byte that are held, or whose turn has not come, cost no more than their bytes", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort())]);
  const post = head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked");
  expect(await costOf(daemon, post + ONE_BYTE_CHUNKS)).toBeLessThan(MOST);
  const short = `${post}${"1\r\nx\r\n".repeat(10_000)}0\r\n\r\n`;
  expect(await costOf(daemon, head("GET / HTTP/1.1", "Host: a") + short.repeat(20))).toBeLessThan(MOST);
}, 30_000);

test("a body in chunks of one byte arrives whole, to the first attempt and to the next", async () => {
  const bodies: Promise<string>[] = [];
  const web = await httpUpstream((req, res) => {
    bodies.push(textOf(req));
    if (bodies.length === 1) void bodies[0]?.then(() => req.socket.resetAndDestroy());
    else void bodies[1]?.then((body) => res.end(body));
  });
  const daemon = await startDaemon(["--http", String(web.port), "--replay-buffer", "1M"]);
  const client = await dial(daemon.port);
  const text = Array.from({ length: 50_000 }, (_, n) => String.fromCodePoint(0x21 + (n % 90))).join("");
  const chunks = text.replaceAll(/./g, "1\r\n$&\r\n");
  client.send(`${head("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}${chunks}0\r\n\r\n`);
  expect((await nextResponse(client, "PUT")).body).toBe(text);
  expect(await bodies[0]).toBe(text);
});
