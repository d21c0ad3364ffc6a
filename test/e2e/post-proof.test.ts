// A POST whose pooled connection is ended between the last look at it and the write: the race itself, made to happen.
// The upstream lives in another thread, and ends the connection while this one stands still.

import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { pino } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { startSinglePort } from "../../dist/index.js";
import type { Outcome } from "../../src/core/outcome.ts";
import { client } from "../kit/load.ts";
import { until } from "../kit/until.ts";

vi.setConfig({ testTimeout: 120_000 });

/** Answers every request and promises to keep the connection; ends the first one when it is told to. */
const UPSTREAM = `
const { createServer } = require("node:net");
const { parentPort } = require("node:worker_threads");
let first;
const server = createServer((socket) => {
  first ??= socket;
  let text = "";
  socket.on("error", () => {}).on("data", (chunk) => {
    text += chunk.toString("latin1");
    const [all, length] = /^[^]*?\\r\\n\\r\\n/.test(text) ? [text, /content-length: (\\d+)/i.exec(text)?.[1] ?? "0"] : [""];
    if (all === "" || text.length < text.indexOf("\\r\\n\\r\\n") + 4 + Number(length)) return;
    parentPort.postMessage(text.split(" ", 2).join(" "));
    text = "";
    socket.write("HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nKeep-Alive: timeout=60\\r\\n\\r\\nok");
  });
});
parentPort.on("message", (how) => (how === "fin" ? first.destroy() : first.resetAndDestroy()));
server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
`;

/** Does the system hold a connection to this port that nobody has ended? */
function isEstablished(port: number): boolean {
  const remote = port.toString(16).toUpperCase().padStart(4, "0");
  return new RegExp(`^ *\\d+: \\S+ \\w+:${remote} 01 `, "m").test(readFileSync("/proc/net/tcp", "latin1"));
}

/**
 * Has the upstream end the connection behind the last look at it: in the immediate that was made in an immediate. This
 * thread stands still until the system knows.
 */
function endBehindTheLook(upstream: Worker, port: number, how: "fin" | "rst"): void {
  const real = globalThis.setImmediate;
  const restore = (): void => void (globalThis.setImmediate = real);
  onTestFinished(restore);
  let inside = false;
  globalThis.setImmediate = ((act: (...args: unknown[]) => void, ...args: unknown[]) => {
    const isNested = inside;
    return real(() => {
      if (isNested) {
        restore();
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
        upstream.postMessage(how);
        const last = performance.now() + 30_000;
        while (isEstablished(port) && performance.now() < last);
      }
      inside = true;
      act(...args);
      inside = false;
    });
  }) as typeof setImmediate;
}

test.skipIf(process.platform !== "linux").each([
  ["fin", 100, 200, ["GET /", "POST /once"], "unread"],
  ["rst", 100, 200, ["GET /", "POST /once"], "unsent"],
  ["rst", 10_000, 200, ["GET /", "POST /once"], "unsent"],
  ["fin", 10_000, 502, ["GET /"], undefined],
] as const)("a %s just before a POST of %i bytes: %i, and %o is seen", async (how, bytes, status, expected, proof) => {
  const upstream = new Worker(UPSTREAM, { eval: true });
  onTestFinished(async () => void (await upstream.terminate()));
  const seen: unknown[] = [];
  upstream.on("message", (message) => seen.push(message));
  const port = Number(await until(() => seen.shift(), "the upstream"));
  const ended: Outcome[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void ended.push(JSON.parse(line) as Outcome) });
  const proxy = await startSinglePort({ port: 0, http: port, probeInterval: 0 }, log);
  onTestFinished(() => proxy.close());
  const ask = client(proxy.address.port);
  expect((await ask()).status).toBe(200);
  endBehindTheLook(upstream, port, how);
  const answer = await ask({
    method: "POST",
    path: "/once",
    headers: { "Content-Length": String(bytes) },
    body: "b".repeat(bytes),
  });
  expect(answer.status).toBe(status);
  expect(seen).toEqual(expected);
  const line = await until(() => ended.find(({ method }) => method === "POST"), "its line");
  const broken = { reused: true, idleMs: expect.any(Number), code: "ECONNRESET", phase: "waiting", times: 1 };
  const again = { reused: false, idleMs: 0, phase: "waiting", times: 1 };
  expect(line.attempts).toEqual(proof === undefined ? [broken] : [{ ...broken, proof }, again]);
});
