import { expect, test } from "vitest";
import { readiness } from "../../src/ops/readiness.ts";
import type { LinkReport, Report } from "../../src/ops/report.ts";

function link(about: Partial<LinkReport>): LinkReport {
  const target = "127.0.0.1:4000";
  return {
    name: "http",
    target,
    state: "up",
    reconnectCount: 0,
    reconnectTries: 0,
    held: 0,
    tunnels: 0,
    history: [],
    ...about,
  };
}

function reasons(state: Report["state"], ...links: LinkReport[]): string[] {
  const { ready, reasons } = readiness({ state, links });
  expect(ready).toBe(reasons.length === 0);
  return reasons;
}

test("running, with every upstream up: ready", () => {
  expect(reasons("running", link({}), link({ name: "mux" }))).toEqual([]);
});

test.each<[Report["state"], string]>([
  ["draining", "this proxy is draining"],
  ["stopped", "this proxy is stopped"],
])("%s: not ready", (state, reason) => {
  expect(reasons(state, link({}))).toEqual([reason]);
});

test.each<[Partial<LinkReport>, string]>([
  [{ state: "connecting" }, "has not been reached yet"],
  [
    { state: "connecting", lastError: "ECONNREFUSED" },
    "has not been reached yet: nothing listens there (ECONNREFUSED)",
  ],
  [{ state: "suspect", lastError: "ETIMEDOUT" }, "has just failed once: it does not answer (ETIMEDOUT)"],
  [{ state: "reconnecting", lastError: "ENOENT" }, "cannot be reached: the socket does not exist (ENOENT)"],
  [{ state: "reconnecting", lastError: "no answer within 3000 ms" }, "cannot be reached: no answer within 3000 ms"],
  [{ state: "reconnecting", lastError: "status 503" }, "cannot be reached: status 503"],
])("%j: says so in words", (about, words) => {
  expect(reasons("running", link(about))).toEqual([`upstream http (127.0.0.1:4000) ${words}`]);
});

test("what a request met is the reason when the last probe was still well", () => {
  const history = [{ at: "", state: "suspect", reason: "ECONNREFUSED" }];
  expect(reasons("running", link({ state: "suspect", lastProbeOk: true, history }))).toEqual([
    "upstream http (127.0.0.1:4000) has just failed once: nothing listens there (ECONNREFUSED)",
  ]);
});

test("what a request met is the reason when a probe had failed long before", () => {
  const history = [{ at: "2026-01-01T12:00:01.000Z", state: "suspect", reason: "no_pong" }];
  const about = { state: "suspect", lastProbeAt: "2026-01-01T12:00:00.000Z", lastError: "ECONNREFUSED" } as const;
  expect(reasons("running", link({ ...about, history }))).toEqual([
    "upstream http (127.0.0.1:4000) has just failed once: it accepts connections, but does not answer (no_pong)",
  ]);
});

test("a probe that failed otherwise since is the reason", () => {
  const history = [{ at: "2026-01-01T12:00:01.000Z", state: "reconnecting", reason: "ECONNREFUSED" }];
  const about = { state: "reconnecting", lastProbeAt: "2026-01-01T12:00:02.000Z", lastError: "status 503" } as const;
  expect(reasons("running", link({ ...about, history }))).toEqual([
    "upstream http (127.0.0.1:4000) cannot be reached: status 503",
  ]);
});

test("every reason there is, the proxy's own first", () => {
  const links = [link({ state: "suspect" }), link({}), link({ name: "mux2", state: "reconnecting" })];
  expect(reasons("draining", ...links)).toEqual([
    "this proxy is draining",
    "upstream http (127.0.0.1:4000) has just failed once",
    "upstream mux2 (127.0.0.1:4000) cannot be reached",
  ]);
});
