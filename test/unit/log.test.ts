import { expect, onTestFinished, test, vi } from "vitest";
import { LogSink, type WriteChunk } from "../../src/ops/log-sink.ts";
import { printable, sentence } from "../../src/ops/log-words.ts";
import { endedBadly, levelOf } from "../../src/ops/ending.ts";
import { createLog, LineLimit } from "../../src/ops/log.ts";
import { whatHappened } from "../../src/ops/what-happened.ts";
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
  const reported: [string, number, string][] = [];
  const lines = new LineLimit((...dropped) => reported.push(dropped));
  const passed = { a: 0, b: 0 };
  for (let i = 0; i < 1000; i += 1) passed.a += Number(lines.allows("client rst"));
  for (let i = 0; i < 11; i += 1) passed.b += Number(lines.allows("upstream rst", "warn"));
  expect(passed).toEqual({ a: 10, b: 10 });
  expect(reported).toEqual([]);
  vi.advanceTimersByTime(1000);
  expect(reported).toEqual([
    ["client rst", 990, "info"],
    ["upstream rst", 1, "warn"],
  ]);
  expect(lines.allows("client rst")).toBe(true);
  vi.advanceTimersByTime(5000);
  expect(reported).toHaveLength(2);
});

test.each<[Partial<Outcome>, "debug" | "info" | "warn"]>([
  [{}, "debug"],
  [{ by: "client", how: "fin" }, "debug"],
  [{ by: "client", how: "rst" }, "info"],
  [{ by: "client", how: "rst", left: true }, "debug"],
  [{ by: "upstream", how: "fin" }, "info"],
  [{ status: 500 }, "info"],
  [{ by: "proxy", how: "limit", status: 503, error: "too_many" }, "warn"],
  [{ by: "proxy", how: "timeout", status: 503, error: "upstream_unavailable" }, "warn"],
  [{ by: "upstream", how: "rst", status: 502, error: "upstream_reset" }, "warn"],
  [{ by: "upstream", how: "timeout", status: 504, error: "upstream_timeout" }, "warn"],
  [{ by: "client", how: "limit", status: 508, error: "loop_detected" }, "warn"],
  [{ by: "proxy", how: "drain", status: 503, error: "draining" }, "info"],
  [{ by: "client", how: "limit", status: 403, error: "origin_not_allowed" }, "info"],
  [{ kind: "tunnel", by: "upstream", how: "done" }, "debug"],
  [{ kind: "tunnel", by: "client", how: "fin" }, "debug"],
  [{ kind: "tunnel", by: "upstream", how: "fin" }, "info"],
  [{ kind: "tunnel", by: "proxy", how: "drain" }, "debug"],
  [{ kind: "tunnel", by: "client", how: "no_pong" }, "info"],
])("the line of %j is at %s, and it ended badly unless that is debug", (about, level) => {
  expect(levelOf({ ...outcome, ...about })).toBe(level);
  expect(endedBadly({ ...outcome, ...about })).toBe(level !== "debug");
});

const WEB = "127.0.0.1:4000";
const REFUSED = { reused: false, idleMs: 0, code: "ECONNREFUSED", phase: "connect" as const, times: 39 };
const BROKEN = { reused: false, idleMs: 0, code: "ECONNRESET", phase: "waiting" as const, times: 1 };

test.each<[string, Partial<Outcome>]>([
  [
    "gave up after 10.0 s: 127.0.0.1:4000 refuses connections",
    { error: "upstream_unavailable", by: "proxy", how: "timeout", phase: "connect", attempts: [REFUSED] },
  ],
  [
    "gave up after 10.0 s: 127.0.0.1:4000 cannot be connected to (EWHATEVER)",
    {
      error: "upstream_unavailable",
      by: "proxy",
      how: "timeout",
      phase: "connect",
      attempts: [{ ...REFUSED, code: "EWHATEVER" }],
    },
  ],
  [
    "127.0.0.1:4000 reset the connection before it responded, 3 times in a row",
    { error: "upstream_reset", how: "rst", phase: "waiting", attempts: [BROKEN, BROKEN, BROKEN] },
  ],
  [
    "127.0.0.1:4000 closed the connection before it responded",
    { error: "upstream_reset", how: "fin", phase: "waiting", attempts: [BROKEN] },
  ],
  [
    "127.0.0.1:4000 sent a response that is not valid HTTP",
    { error: "upstream_bad_response", how: "protocol", phase: "waiting", attempts: [BROKEN] },
  ],
  [
    "127.0.0.1:4000 accepted the connection, but did not respond for 10.0 s",
    { error: "upstream_timeout", how: "timeout", phase: "waiting" },
  ],
  ["refused: this proxy is shutting down", { error: "draining", by: "proxy", how: "drain" }],
  ["refused: too many requests wait already (--max-held)", { error: "too_many", by: "proxy", how: "limit" }],
  [
    "refused: too many tunnels are open (--max-tunnels)",
    { error: "too_many", by: "proxy", how: "limit", route: "", phase: "head" },
  ],
  [
    "refused: this proxy has no descriptor or port left (EMFILE)",
    { error: "too_many", by: "proxy", how: "limit", attempts: [{ ...REFUSED, code: "EMFILE" }] },
  ],
  [
    "refused: pages of this origin may not open the terminal (--allow-origin)",
    { error: "origin_not_allowed", by: "client", how: "limit", route: "", phase: "head" },
  ],
  [
    "refused: received host evil.example, accepted is localhost; to allow it: --allow-host evil.example",
    {
      error: "host_not_allowed",
      by: "client",
      how: "limit",
      why: { seen: "host evil.example", expected: "localhost", option: "--allow-host evil.example" },
    },
  ],
  [
    "refused: the client asked for the terminal mux, and no --mux is given",
    { error: "no_mux", by: "client", how: "limit", route: "", phase: "head" },
  ],
  ["the client reset the connection during the response body after 10.0 s", { by: "client", how: "rst" }],
  [
    "the client closed the connection before the upstream was connected after 10.0 s",
    { by: "client", how: "fin", phase: "connect", status: 0 },
  ],
  ["127.0.0.1:4000 reset the connection during the response body after 10.0 s", { how: "rst" }],
  ["127.0.0.1:4000 was silent for too long during the response body after 10.0 s", { how: "timeout" }],
  ["the client took no byte for too long during the response body after 10.0 s", { by: "client", how: "timeout" }],
  ["closed by the shutdown of this proxy after 10.0 s", { by: "proxy", how: "drain" }],
  ["127.0.0.1:4000 did not answer a ping after 10.0 s", { kind: "tunnel", how: "no_pong", phase: "tunnel" }],
  [
    "127.0.0.1:4000 closed the connection without a Close frame after 10.0 s",
    { kind: "tunnel", how: "fin", phase: "tunnel" },
  ],
  ["answered after 10.0 s", { status: 500 }],
])("%s", (what, about) => {
  expect(whatHappened({ ...outcome, ms: 10_040, ...about }, WEB)).toBe(what);
});

test("a line on a terminal is a sentence of who did what, and what was tried", () => {
  const attempts = [{ ...BROKEN, reused: true, idleMs: 3900 }, REFUSED];
  const given = {
    ...outcome,
    status: 503,
    error: "upstream_unavailable" as const,
    bytesOut: 0,
    attempts,
    ray: "8a-FRA",
  };
  const text = sentence({ ...given, what: "gave up after 10.0 s: 127.0.0.1:4000 refuses connections" });
  expect(text).toBe(
    "http: GET /x → 503 upstream_unavailable; gave up after 10.0 s: 127.0.0.1:4000 refuses connections; " +
      "ECONNRESET on a connection reused after 3.9 s idle; 39 times ECONNREFUSED; a-1; ray 8a-FRA",
  );
});

test("a line about a wrong request names its client", () => {
  const refused = { ...outcome, route: "", status: 400, error: "bad_request" as const, by: "client" as const };
  const text = sentence({ ...refused, bytesOut: 0, client: "203.0.113.9" });
  expect(text).toContain("; a-1; from 203.0.113.9");
  expect(sentence({ ...refused, client: "" })).not.toContain("from ");
  expect(sentence({ ...outcome, by: "client", how: "rst", client: "203.0.113.9" })).not.toContain("from ");
});

test("bytes of a peer never reach a terminal as commands", () => {
  expect(printable("a\x1b[2J\u009b2J\r\nb")).toBe("a\\x1b[2J\\x9b2J\\x0d\\x0ab");
  expect(sentence({ ...outcome, path: "/\x1b]0;owned\x07" })).toContain("/\\x1b]0;owned\\x07");
});

test.each(["plain", 'a "b" \\ \n\t\u0000\u007f %s é €', "\u2028 \u{1f600}"])(
  "a text is written without pino as pino writes it: %j",
  async (text) => {
    const lines: Record<string, unknown>[] = [];
    const { log, flush } = await createLog("info", "json", (chunk, done) => {
      for (const line of chunk.toString().trimEnd().split("\n")) lines.push(JSON.parse(line));
      done(undefined, chunk.length);
    });
    const levels = ["debug", "info", "warn", "error", "fatal"] as const;
    for (const level of levels) log[level](text);
    log.child({ upstream: "http" }).info(text);
    for (const level of levels) log[level](text);
    await flush();
    const facts: Record<string, unknown>[] = lines.map((line) => ({ ...line, time: typeof line["time"] }));
    expect(facts.slice(0, 4).map((line) => [line["level"], line["time"]])).toEqual(
      [30, 40, 50, 60].map((level) => [level, "number"]),
    );
    expect(facts[4]).toEqual({ ...facts[0], upstream: "http" });
    expect(facts.slice(5)).toEqual(facts.slice(0, 4));
  },
);

test.each([
  ["trace", 5],
  ["fatal", 1],
  ["silent", 0],
])("at level %s as many lines as pino writes: %d", async (level, count) => {
  let lines = 0;
  const { log, flush } = await createLog(level, "json", (chunk, done) => {
    lines += chunk.toString().split("\n").length - 1;
    done(undefined, chunk.length);
  });
  const say = (): void => {
    for (const at of ["debug", "info", "warn", "error", "fatal"] as const) log[at]("text");
  };
  say();
  await flush();
  expect(lines).toBe(count);
  log.load();
  say();
  await flush();
  expect(lines).toBe(2 * count);
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
