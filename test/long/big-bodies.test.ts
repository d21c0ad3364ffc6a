// Bodies are streamed: the proxy never holds more of one than the sockets' buffers do.
// SINGLE_PORT_TEST_BYTES=1073741824 makes it a gigabyte each way.

import { createHash, type Hash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { httpUpstream } from "../kit/upstream.ts";
import { every, within } from "../kit/until.ts";

const BYTES = Number(process.env["SINGLE_PORT_TEST_BYTES"] ?? 256 * 1024 * 1024);
// Later versions of Node let more garbage pile up: 80 MB, of whatever.
const MAX_GROWTH_KB = 112 * 1024;

// Not a power of two long, so that pieces and buffers never line up; each differs from the one before.
const PIECE = Buffer.from(Array.from({ length: 99_991 }, (_, i) => (i * 31) % 251));

function* pieces(): Generator<Buffer> {
  for (let sent = 0, i = 0; sent < BYTES; sent += PIECE.length, i += 1) {
    const piece = Buffer.from(PIECE.subarray(0, Math.min(PIECE.length, BYTES - sent)));
    piece.writeUInt32BE(i);
    yield piece;
  }
}

/** Writes all pieces with backpressure. */
function pour(
  to: { write(chunk: Buffer): boolean; once(event: "drain", then: () => void): unknown },
  done: () => void,
): void {
  const source = pieces();
  const go = (): void => {
    for (;;) {
      const next = source.next();
      if (next.done === true) return done();
      if (!to.write(next.value)) return void to.once("drain", go);
    }
  };
  go();
}

let expected: string | undefined;
function checksum(): string {
  if (expected !== undefined) return expected;
  const hash = createHash("sha1");
  for (const piece of pieces()) hash.update(piece);
  return (expected = hash.digest("hex"));
}

function rssKb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** Watches how far the daemon's memory grows above what it has now. */
function watchMemory(daemon: TestDaemon): () => number {
  const before = rssKb(daemon.pid);
  let most = before;
  const stop = every(20, () => (most = Math.max(most, rssKb(daemon.pid))));
  return () => {
    stop();
    return most - before;
  };
}

/** Reads `bytes` bytes into `hash`, and takes a rest now and then: the writer has to wait. */
function readSlowly(socket: Socket, hash: Hash, skip: RegExp | undefined, bytes: number): Promise<void> {
  let head = skip ? "" : undefined;
  let seen = 0;
  let sincePause = 0;
  return new Promise((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      let body = chunk;
      if (head !== undefined) {
        head += chunk.toString("latin1");
        const match = skip?.exec(head);
        if (!match) return;
        body = Buffer.from(head.slice(match.index + match[0].length), "latin1");
        head = undefined;
      }
      hash.update(body);
      seen += body.length;
      sincePause += body.length;
      if (sincePause > BYTES / 20) {
        sincePause = 0;
        socket.pause();
        const stop = every(50, () => {
          stop();
          socket.resume();
        });
      }
      if (seen >= bytes) resolve();
    });
  });
}

test(
  "a large download to a slow reader arrives whole, and the daemon does not grow with it",
  { timeout: 60_000 },
  async () => {
    const web = await httpUpstream((_req, res) => {
      res.writeHead(200, { "Content-Length": BYTES });
      pour(res, () => res.end());
    });
    const daemon = await startDaemon(["--http", String(web.port)]);
    const client = await dial(daemon.port);
    client.socket.removeAllListeners("data");
    const hash = createHash("sha1");
    const growth = watchMemory(daemon);
    const whole = readSlowly(client.socket, hash, /\r\n\r\n/, BYTES);
    client.send(head("GET / HTTP/1.1", "Host: a"));
    await within(whole, "the download", 55_000);
    expect(growth()).toBeLessThan(MAX_GROWTH_KB);
    expect(hash.digest("hex")).toBe(checksum());
  },
);

test(
  "a large upload to a slow reader arrives whole, and the daemon does not grow with it",
  { timeout: 60_000 },
  async () => {
    const hash = createHash("sha1");
    const web = await httpUpstream((req, res) => {
      let sincePause = 0;
      req.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        sincePause += chunk.length;
        if (sincePause < BYTES / 20) return;
        sincePause = 0;
        req.pause();
        const stop = every(50, () => {
          stop();
          req.resume();
        });
      });
      req.on("end", () => res.end("got it"));
    });
    const daemon = await startDaemon(["--http", String(web.port)]);
    const client = await dial(daemon.port);
    const growth = watchMemory(daemon);
    client.send(head("PUT / HTTP/1.1", "Host: a", `Content-Length: ${BYTES}`));
    pour(client.socket, () => {});
    await client.readUntil("got it", 55_000);
    expect(growth()).toBeLessThan(MAX_GROWTH_KB);
    expect(hash.digest("hex")).toBe(checksum());
  },
);
