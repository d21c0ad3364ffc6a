// A browser's EventSource gives up for good on any status but 200, so it gets passing errors as a 200 that ends.

import { EventSource } from "eventsource";
import { expect, onTestFinished, test } from "vitest";
import { acceptsOnlyEvents } from "../../src/core/event-source.ts";
import { childServer } from "../kit/child.ts";
import { head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { deadPort, rawUpstream } from "../kit/upstream.ts";

const EVENTS = "Accept: text/event-stream";

test.each([
  ["GET", "text/event-stream", true],
  ["GET", "Text/Event-Stream; charset=utf-8", true],
  ["POST", "text/event-stream", false],
  ["GET", "text/event-stream, application/json", false],
  ["GET", "*/*", false],
  ["GET", undefined, false],
])("%s that accepts %s takes nothing but events: %s", (method, accept, only) => {
  expect(acceptsOnlyEvents({ method, headers: { accept } })).toBe(only);
});

test("an upstream that does not come back: after the hold a stream that ends, and says why", async () => {
  const daemon = await startDaemon([
    "--http",
    String(await deadPort()),
    "--hold",
    "100ms",
    "--response-timeout",
    "600ms",
  ]);
  const began = performance.now();
  const [events, other] = await Promise.all([
    ask(daemon.port, head("GET /events HTTP/1.1", "Host: a", EVENTS)),
    ask(daemon.port, head("GET / HTTP/1.1", "Host: a", "Accept: application/json")),
  ]);
  expect(performance.now() - began).toBeGreaterThan(600);
  expect(other.status).toBe(503);
  expect(events.status).toBe(200);
  expect(events.field("content-type")).toBe("text/event-stream");
  expect(events.field("x-single-port-error")).toBe("upstream_unavailable");
  expect(events.body).toMatch(/^retry: \d+\n: upstream_unavailable: .+\n\n$/);
  const outcome = await daemon.logged(({ path }) => path === "/events", "its end");
  expect(outcome).toMatchObject({ status: 503, error: "upstream_unavailable" });
});

test("an upstream that does not answer: the same, and a 504 in the log", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--response-timeout", "300ms"]);
  const events = await ask(daemon.port, head("GET /events HTTP/1.1", "Host: a", EVENTS));
  expect([events.status, events.field("x-single-port-error")]).toEqual([200, "upstream_timeout"]);
  expect(await daemon.logged(({ path }) => path === "/events", "its end")).toMatchObject({ status: 504 });
});

test("what is wrong with the request itself is told by its status", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort())]);
  expect((await ask(daemon.port, head("GET /events HTTP/1.1", EVENTS))).status).toBe(400);
});

test("npm's EventSource comes back after an outage that is longer than everything it is held for", async () => {
  const web = await childServer();
  const args = ["--http", String(web.port), "--hold", "100ms", "--response-timeout", "300ms"];
  const daemon = await startDaemon(args);
  const source = new EventSource(`http://127.0.0.1:${daemon.port}/events`);
  onTestFinished(() => source.close());
  let messages = 0;
  source.addEventListener("message", () => (messages += 1));
  await until(() => messages === 1, "the first event");
  await web.kill();
  await until(
    () => daemon.log.filter(({ error }) => error === "upstream_unavailable").length > 1,
    "two refusals",
    10_000,
  );
  expect(source.readyState).not.toBe(EventSource.CLOSED);
  await web.start();
  await until(() => messages === 2, "the event after the outage", 10_000);
});
