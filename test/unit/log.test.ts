import { expect, onTestFinished, test, vi } from "vitest";
import { LogSink, type WriteChunk } from "../../src/ops/log-sink.ts";
import { printable, sentence } from "../../src/ops/log-words.ts";
import { createLog, endedWell, LineLimit } from "../../src/ops/log.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import { until, within } from "../kit/until.ts";

const outcome: Outcome = {
  id: "a-1",
  kind: "request",
  route: "http",
  method: "GET",
  path: "/x",
  status: 200,
  error: undefined,
  bytesIn: 0,
  bytesOut: 5,
  ms: 12,
  attempts: [{ reused: false, idleMs: 0, phase: "waiting", times: 1 }],
  by: "upstream",
  how: "done",
  phase: "response_body",
  ray: undefined,
};

/** A writer whose writes end as they are told to, and what was written. */
function scripted(...script: ("ok" | "ENOSPC" | "EAGAIN" | "half" | "stuck")[]): {
  write: WriteChunk;
  text(): string;
} {
  let text = "";
  return {
    text: () => text,
    write: (chunk, done) => {
      const next = script.shift() ?? "ok";
      if (next === "stuck") return;
      setImmediate(() => {
        const taken = next === "ok" ? chunk : next === "half" ? chunk.subarray(0, chunk.length >> 1) : undefined;
        if (taken) text += taken.toString();
        done(taken ? undefined : Object.assign(new Error(next), { code: next }), taken?.length ?? 0);
      });
    },
  };
}

const lostLine = (lost: number): string => `lost ${lost}\n`;

test("lines are written in order, those of one turn together", async () => {
  const chunks: string[] = [];
  const sink = new LogSink((chunk, done) => {
    chunks.push(chunk.toString());
    setImmediate(done, undefined, chunk.length);
  }, lostLine);
  sink.write("a\n");
  sink.write("b\n");
  await sink.flush();
  sink.write("c\n");
  await sink.flush();
  expect(chunks).toEqual(["a\nb\n", "c\n"]);
});

test("lines that a full disk did not take are counted, and the count is said when it takes lines again", async () => {
  const to = scripted("ENOSPC", "ENOSPC");
  const sink = new LogSink(to.write, lostLine);
  sink.write("a\n");
  sink.write("b\n");
  await sink.flush();
  sink.write("c\n");
  await sink.flush();
  sink.write("d\n");
  await sink.flush();
  sink.write("e\n");
  await sink.flush();
  expect(to.text()).toBe("lost 3\nd\ne\n");
});

test("a line that was cut in the middle does not swallow the one behind it", async () => {
  const to = scripted("half", "ENOSPC");
  const sink = new LogSink(to.write, lostLine);
  sink.write("abcdefgh\n");
  await sink.flush();
  sink.write("i\n");
  await sink.flush();
  expect(to.text()).toBe("abcd\nlost 1\ni\n");
});

test("a chunk that was written in part, or not now, is written to its end", async () => {
  const to = scripted("half", "EAGAIN", "half");
  const sink = new LogSink(to.write, lostLine);
  sink.write("abcdefgh\n");
  await until(() => to.text() === "abcdefgh\n", "the whole line");
});

test("a reader that does not read costs 4 MiB at most, and no exit waits for it", async () => {
  const to = scripted("stuck");
  const sink = new LogSink(to.write, lostLine);
  const line = `${"x".repeat(1023)}\n`;
  sink.write("first\n");
  await until(() => true, "a turn");
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 100_000; i += 1) sink.write(line);
  expect(process.memoryUsage().rss - before).toBeLessThan(60 * 1024 * 1024);
  await within(sink.flush(), "flush gives up", 1500);
});

test("ten lines of a kind pass in a second, and then a count for each kind", () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const reported: [string, number][] = [];
  const lines = new LineLimit((kind, dropped) => reported.push([kind, dropped]));
  const passed = { a: 0, b: 0 };
  for (let i = 0; i < 1000; i += 1) passed.a += Number(lines.allows("client rst"));
  for (let i = 0; i < 11; i += 1) passed.b += Number(lines.allows("upstream rst"));
  expect(passed).toEqual({ a: 10, b: 10 });
  expect(reported).toEqual([]);
  vi.advanceTimersByTime(1000);
  expect(reported).toEqual([
    ["client rst", 990],
    ["upstream rst", 1],
  ]);
  expect(lines.allows("client rst")).toBe(true);
  vi.advanceTimersByTime(5000);
  expect(reported).toHaveLength(2);
});

test.each<[Partial<Outcome>, boolean]>([
  [{}, true],
  [{ by: "client", how: "fin" }, true],
  [{ by: "client", how: "rst" }, false],
  [{ by: "upstream", how: "fin" }, false],
  [{ by: "proxy", how: "limit", status: 503 }, false],
  [{ kind: "tunnel", by: "upstream", how: "done" }, true],
  [{ kind: "tunnel", by: "client", how: "fin" }, true],
  [{ kind: "tunnel", by: "upstream", how: "fin" }, false],
  [{ kind: "tunnel", by: "proxy", how: "drain" }, true],
  [{ kind: "tunnel", by: "client", how: "no_pong" }, false],
])("%j ended well: %s", (about, well) => {
  expect(endedWell({ ...outcome, ...about })).toBe(well);
});

test("a line on a terminal says in words which side ended it, how, and after what", () => {
  const attempts = [
    { reused: true, idleMs: 3900, code: "ECONNRESET", phase: "waiting" as const, times: 1 },
    { reused: false, idleMs: 0, code: "ECONNREFUSED", phase: "connect" as const, times: 39 },
  ];
  const text = sentence({
    ...outcome,
    status: 503,
    error: "upstream_unavailable",
    by: "proxy",
    how: "timeout",
    phase: "connect",
    ms: 10_040,
    bytesOut: 0,
    attempts,
    ray: "8a-FRA",
  });
  expect(text).toBe(
    "http: GET /x → 503 upstream_unavailable, too slow by proxy after 10.0 s; in phase connect; " +
      "ECONNRESET on a connection idle for 3.9 s; 39 times ECONNREFUSED; a-1; ray 8a-FRA",
  );
});

test("bytes of a peer never reach a terminal as commands", () => {
  expect(printable("a\x1b[2J\u009b2J\r\nb")).toBe("a\\x1b[2J\\x9b2J\\x0d\\x0ab");
  expect(sentence({ ...outcome, path: "/\x1b]0;owned\x07" })).toContain("/\\x1b]0;owned\\x07");
});

test("what a client chose is cut short, its id by Cloudflare too", async () => {
  let text = "";
  const { log, flush } = await createLog("info", "json", (chunk, done) => {
    text += chunk.toString();
    done(undefined, chunk.length);
  });
  log.info({ ...outcome, path: `/${"x".repeat(30_000)}`, ray: "y".repeat(30_000) }, "request ended");
  await flush();
  expect(text.length).toBeLessThan(1500);
  expect(JSON.parse(text)).toMatchObject({ path: `/${"x".repeat(499)}…`, ray: `${"y".repeat(500)}…` });
});
