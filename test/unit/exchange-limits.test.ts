import type { Socket } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Clock } from "../../src/core/timer.ts";
import { lateSide, Limits, type Awaited } from "../../src/exchange/limits.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const TIMES = { handshakeTimeoutMs: 1000, responseTimeoutMs: 2000, bodyTimeoutMs: 4000 };

/** Limits whose client has taken `taken` bytes, and how often they were over. */
function limits(times: typeof TIMES = TIMES) {
  const all = { late: 0, waitsForClient: false, taken: 0, onLate: () => void (all.late += 1) };
  // What taken.ts asks a handle for. No addresses: the kernel holds nothing.
  const client = {
    _handle: {
      get bytesWritten() {
        return all.taken;
      },
      writeQueueSize: 0,
    },
  } as unknown as Socket;
  return { all, limits: new Limits(new Clock(50), times, all, client) };
}

test.each<[Awaited, number]>([
  ["handshake", 1000],
  ["response", 2000],
  ["body", 4000],
  ["client", 4000],
])("%s has its time, and not a tick more than one", (what, ms) => {
  const { all, limits: waits } = limits();
  all.waitsForClient = what === "client";
  waits.await(what);
  vi.advanceTimersByTime(ms - 50);
  expect(all.late).toBe(0);
  vi.advanceTimersByTime(150);
  expect(all.late).toBe(1);
});

test("what is awaited anew has all of its time again; nothing has no limit; after stop nobody is told", () => {
  const { all, limits: waits } = limits();
  for (let n = 0; n < 10; n += 1) {
    waits.await("body");
    vi.advanceTimersByTime(3000);
  }
  waits.await("nothing");
  vi.advanceTimersByTime(1_000_000);
  waits.await("response");
  waits.stop();
  vi.advanceTimersByTime(1_000_000);
  expect(all.late).toBe(0);
});

test.each<Awaited>(["handshake", "response", "body", "client"])("%s without a limit may take for ever", (what) => {
  const { all, limits: waits } = limits({ handshakeTimeoutMs: 0, responseTimeoutMs: 0, bodyTimeoutMs: 0 });
  all.waitsForClient = what === "client";
  waits.await(what);
  vi.advanceTimersByTime(1_000_000);
  expect(all.late).toBe(0);
});

test("a client that takes a byte now and then is not late; one that stops is", () => {
  const { all, limits: waits } = limits();
  all.waitsForClient = true;
  waits.await("client");
  for (let n = 0; n < 20; n += 1) {
    vi.advanceTimersByTime(900);
    all.taken += 1;
  }
  expect(all.late).toBe(0);
  vi.advanceTimersByTime(4000 + 4000 / 4 + 100);
  expect(all.late).toBe(1);
});

test("an upload that moves does not give a client that takes nothing more time", () => {
  const { all, limits: waits } = limits();
  all.waitsForClient = true;
  waits.await("client");
  vi.advanceTimersByTime(3000);
  waits.await("body");
  vi.advanceTimersByTime(4000 + 100);
  expect(all.late).toBe(1);
});

const yes = { complete: true, blocked: true };
const no = { complete: false, blocked: false };

test.each([
  // Of a request's body: the client sends it, unless the upstream does not take it.
  ["request_body", undefined, no, undefined, "client"],
  ["request_body", no, yes, undefined, "upstream"],
  // Before there is an answer.
  ["connect", undefined, undefined, undefined, "upstream"],
  ["waiting", no, undefined, undefined, "upstream"],
  ["waiting", no, no, undefined, "upstream"],
  // Of an answer: the upstream sends it, unless all of it came, or the client does not take it.
  ["response_body", no, undefined, no, "upstream"],
  ["response_body", yes, undefined, no, "client"],
  ["response_body", no, undefined, yes, "client"],
  ["response_body", yes, undefined, yes, "client"],
  // All of an early answer came, and the upstream does not take the rest of the request.
  ["response_body", yes, no, no, "client"],
  ["response_body", yes, yes, no, "upstream"],
  // It does so because nothing is taken from it.
  ["response_body", no, yes, yes, "client"],
  ["response_body", no, yes, no, "upstream"],
] as const)("in %s, call %j, body %j, answer %j: late is the %5$s", (phase, call, body, answer, late) => {
  expect(lateSide(phase, { call, body, answer })).toBe(late);
});
