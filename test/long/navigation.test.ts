// While an upstream is known to be down, a page load gets the waiting page at once; other requests are held.

import { expect, test, vi } from "vitest";
import type { Attempt } from "../../src/core/outcome.ts";
import { dial, head } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { until } from "../kit/until.ts";
import { deadPort, httpUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 60_000 });

const HOLD_MS = 1000;
const NAVIGATES = ["Sec-Fetch-Mode: navigate", "Accept: text/html"];

/** A daemon before a port where nobody listens, and what asks it. */
async function down(...args: string[]): Promise<{
  port: number;
  daemon: TestDaemon;
  control: string;
  outlast: () => Promise<void>;
  asks: (line: string, ...fields: string[]) => Promise<{ text: string; dials: number }>;
}> {
  const port = await deadPort();
  const env = ownRuntime();
  const daemon = await startDaemon(["--http", String(port), "--hold", `${HOLD_MS}ms`, ...args], env);
  const control = controlSocket(env, daemon.port);
  let asked = 0;
  return {
    port,
    daemon,
    control,
    // The first request of an outage is held, and behind it the outage is older than the hold.
    outlast: async () => {
      const client = await dial(daemon.port);
      client.send(head("GET /first HTTP/1.1", "Host: a"));
      await client.readUntil(/\}\n$/);
      const { links } = await statusOf(control);
      expect(links[0]?.state).toBe("connecting");
    },
    asks: async (line, ...fields) => {
      const ray = `ask-${(asked += 1)}`;
      const client = await dial(daemon.port);
      client.send(head(line, "Host: a", `CF-Ray: ${ray}`, ...fields));
      const logged = await daemon.logged((one) => one["ray"] === ray, line);
      const dials = (logged["attempts"] as Attempt[]).reduce((sum, { times }) => sum + times, 0);
      return { text: await client.readUntil(/(<\/html>|\}|ok)\n?$/), dials };
    },
  };
}

test.each<[string, string, string[], boolean]>([
  ["a navigation", "GET / HTTP/1.1", NAVIGATES, true],
  ["an older browser's", "GET / HTTP/1.1", ["Accept: text/html,*/*;q=0.8"], true],
  ["what a script of a page fetches", "GET / HTTP/1.1", ["Sec-Fetch-Mode: cors", "Accept: text/html"], false],
  ["a program", "GET / HTTP/1.1", ["Accept: */*"], false],
  ["a form that is sent", "POST / HTTP/1.1", [...NAVIGATES, "Content-Length: 0"], false],
])("%s, later in an outage (%s): answered after one dial, or held", async (_who, line, fields, atOnce) => {
  const { asks, outlast } = await down();
  await outlast();
  const { text, dials } = await asks(line, ...fields);
  expect(text).toMatch(/^HTTP\/1\.1 503 .*upstream_unavailable/s);
  if (atOnce) {
    expect(dials).toBe(1);
    expect(text).toContain("<h1>The dashboard is not running</h1>");
  } else expect(dials).toBeGreaterThan(2);
});

test("in the beginning of an outage a navigation is held, as it may be a restart", async () => {
  const { asks } = await down();
  const { text, dials } = await asks("GET / HTTP/1.1", ...NAVIGATES);
  expect(text).toMatch(/^HTTP\/1\.1 503 .*<h1>The dashboard is not running<\/h1>/s);
  expect(dials).toBeGreaterThan(2);
});

test("a navigation is the first to find that it is back, without any probe", async () => {
  const { asks, outlast, port } = await down("--probe-interval", "0");
  await outlast();
  await httpUpstream((_req, res) => res.end("ok"), port);
  const { text, dials } = await asks("GET / HTTP/1.1", ...NAVIGATES);
  expect(text).toMatch(/^HTTP\/1\.1 200 OK/);
  expect(dials).toBe(1);
});

test("while others are held a navigation is answered without a dial of its own, and overtakes nobody", async () => {
  const { asks, outlast, daemon, control } = await down();
  await outlast();
  const client = await dial(daemon.port);
  client.send(head("GET /held HTTP/1.1", "Host: a"));
  await until(async () => (await statusOf(control)).held === 1, "it to be held");
  const { text, dials } = await asks("GET / HTTP/1.1", ...NAVIGATES);
  expect(text).toContain("<h1>The dashboard is not running</h1>");
  expect(dials).toBe(0);
  expect(daemon.log.at(-1)?.["what"]).toMatch(/^did not wait: 127\.0\.0\.1:\d+ is known to be down$/);
});
