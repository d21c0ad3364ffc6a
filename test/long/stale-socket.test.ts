// Idle connections that the upstream ends at random, over thousands of requests.

import type { IncomingMessage } from "node:http";
import { expect, test, vi } from "vitest";
import { startDaemon, type LogLine } from "../kit/daemon.ts";
import { fickleUpstream } from "../kit/fickle.ts";
import { client } from "../kit/load.ts";
import { until } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const attemptsOf = (line: LogLine): unknown[] => line["attempts"] as unknown[];

test("stale-socket: idle connections closed or reset at random lose nothing, and no POST is seen twice", async () => {
  const seen = new Map<string, number>();
  const count = (req: IncomingMessage): void => {
    const id = String(req.headers["x-id"]);
    seen.set(id, (seen.get(id) ?? 0) + 1);
  };
  const upstream = await fickleUpstream(
    (req, res) => {
      if (req.method === "POST") count(req);
      // Node then promises nothing, and each POST dials.
      res.setHeader("Connection", "keep-alive");
      req.resume().on("end", () => res.end("ok"));
    },
    20,
    4242,
  );
  const daemon = await startDaemon(["--http", String(upstream.port)]);
  const ask = client(daemon.port, 1);
  const failures: unknown[] = [];
  for (let i = 0; i < 6000; i++) {
    const posts = i % 6 === 5;
    const answer = await ask(posts ? { method: "POST", headers: { "X-Id": `p${i}` }, body: "once" } : {});
    if (answer.status !== 200 || answer.body !== "ok") failures.push({ i, ...answer });
  }
  expect(failures).toEqual([]);
  expect(seen.size).toBe(1000);
  expect([...seen.values()].filter((times) => times !== 1)).toEqual([]);
  expect(Math.min(upstream.ended.fin, upstream.ended.rst), "connections ended in each way").toBeGreaterThan(10);

  const lines = await until(
    () => {
      const ended = daemon.log.filter(({ msg }) => msg === "request ended");
      return ended.length === 6000 ? ended : undefined;
    },
    "all log lines",
    5000,
  );
  expect(lines.filter((line) => attemptsOf(line).length > 1).length, "stale ones met").toBeGreaterThan(0);
  for (const line of lines) {
    const attempts = attemptsOf(line);
    if (line["method"] === "POST") expect(attempts).toEqual([{ reused: false, idleMs: 0, phase: "waiting", times: 1 }]);
    if (attempts.length === 1) continue;
    // A stale one, and then a fresh one, which this upstream never ends before its answer.
    expect(attempts).toEqual([
      { reused: true, idleMs: expect.any(Number), code: "ECONNRESET", phase: "waiting", times: 1 },
      { reused: false, idleMs: 0, phase: "waiting", times: 1 },
    ]);
  }
});
