// Much through one tunnel: every byte, and little memory.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { BINARY, close, frameHeader } from "../kit/wire.ts";
import { readSlowly, SWITCHING } from "../kit/tunnel.ts";
import { every, within } from "../kit/until.ts";

const MB = 1024 * 1024;
/** SINGLE_PORT_TEST_VOLUME=1024 for a gigabyte. */
const VOLUME = Number(process.env["SINGLE_PORT_TEST_VOLUME"] ?? 256) * MB;

/** Resident memory of a process. */
function rss(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** Resolves with what came behind the head. */
function reads(socket: Socket): { behindHead: Promise<void>; sum: Promise<{ length: number; sha: string }> } {
  const hash = createHash("sha1");
  let length = 0;
  let first: Buffer | undefined = Buffer.alloc(0);
  let opened = (): void => {};
  const behindHead = new Promise<void>((resolve) => (opened = resolve));
  const sum = new Promise<{ length: number; sha: string }>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      let bytes = chunk;
      if (first) {
        first = Buffer.concat([first, chunk]);
        const end = first.indexOf("\r\n\r\n");
        if (end < 0) return;
        bytes = first.subarray(end + 4);
        first = undefined;
        opened();
      }
      hash.update(bytes);
      length += bytes.length;
    });
    socket.on("end", () => resolve({ length, sha: hash.digest("hex") }));
  });
  return { behindHead, sum };
}

/** Sends frames of 1 MB, a Close and FIN; resolves with what was sent. */
async function sends(socket: Socket, masked: boolean): Promise<{ length: number; sha: string }> {
  const hash = createHash("sha1");
  const payload = Buffer.allocUnsafe(MB);
  for (let i = 0; i < MB; i += 1) payload[i] = (i * 31 + (i >> 8)) % 251;
  const frame = Buffer.concat([frameHeader({ opcode: BINARY }, MB, masked), payload]);
  let length = 0;
  for (; length < VOLUME; length += frame.length) {
    hash.update(frame);
    if (!socket.write(frame)) await new Promise((resolve) => socket.once("drain", resolve));
  }
  const farewell = close(1000, masked);
  hash.update(farewell);
  length += farewell.length;
  socket.end(farewell);
  return { length, sha: hash.digest("hex") };
}

test.skipIf(process.platform !== "linux")(
  "hundreds of megabytes each way at once, to slow readers: nothing lost, no memory taken",
  { timeout: 120_000 },
  async () => {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const daemon = await startDaemon(["--http", "1", "--mux", `${port}/mux`]);
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const client = connect({ port: daemon.port, host: "127.0.0.1", allowHalfOpen: true });
    onTestFinished(() => void client.destroy());
    const atClient = reads(client);
    client.write(upgrade());
    const mux = await accepted;
    onTestFinished(() => void mux.destroy());
    const atMux = reads(mux);
    await atMux.behindHead;
    mux.write(SWITCHING);
    await atClient.behindHead;

    const before = rss(daemon.pid);
    let most = before;
    every(10, () => (most = Math.max(most, rss(daemon.pid))));
    readSlowly(client, 100 * MB);
    readSlowly(mux, 100 * MB);
    const started = performance.now();
    const [fromClient, fromMux, toClient, toMux] = await within(
      Promise.all([sends(client, true), sends(mux, false), atClient.sum, atMux.sum]),
      "all of it",
      110_000,
    );
    const seconds = (performance.now() - started) / 1000;
    expect(toClient).toEqual(fromMux);
    expect(toMux).toEqual(fromClient);
    expect(most - before).toBeLessThan(96 * MB);
    if (process.env["SINGLE_PORT_TEST_VOLUME"]) {
      const cpu = readFileSync(`/proc/${daemon.pid}/stat`, "utf8").split(" ").slice(13, 15).map(Number);
      console.log({ seconds, before: before / MB, most: most / MB, cpuSeconds: cpu.map((ticks) => ticks / 100) });
    }
  },
);
