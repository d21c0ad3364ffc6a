import fc from "fast-check";
import { expect, test } from "vitest";
import { Liveness } from "../../src/tunnel/liveness.ts";

const side = (intervalMs = 25, timeoutMs = 15): Liveness => new Liveness({ intervalMs, timeoutMs }, 0);

test("a side is asked after the interval of silence, and dead after the timeout", () => {
  const live = side();
  expect([live.verdict(24), live.verdict(25)]).toEqual(["fine", "ask"]);
  live.asked(26);
  expect([live.verdict(26), live.verdict(40), live.verdict(41)]).toEqual(["fine", "fine", "dead"]);
});

test("any byte after the question is an answer, and the next question comes an interval after it", () => {
  const live = side();
  live.asked(25);
  live.lastByte = 39;
  expect([live.verdict(63), live.verdict(64)]).toEqual(["fine", "ask"]);
});

test("a byte before the question is none", () => {
  const live = side();
  live.lastByte = 24;
  live.asked(49);
  expect(live.verdict(64)).toBe("dead");
});

test("a pong is remembered with its round-trip time", () => {
  const live = side();
  live.asked(25);
  live.lastByte = 27;
  live.answered(27, 2.5);
  expect([live.lastPong, live.rttMs, live.verdict(51), live.verdict(52)]).toEqual([27, 2.5, "fine", "ask"]);
});

test("a question behind a backlog may take longer, once", () => {
  const live = side();
  live.asked(25, 100);
  expect([live.verdict(139), live.verdict(140)]).toEqual(["fine", "dead"]);
  live.asked(200);
  expect(live.verdict(215)).toBe("dead");
});

test("the silence of a side nobody listened to begins when it is listened to again", () => {
  const live = side();
  live.excuse(60);
  expect([live.verdict(84), live.verdict(85)]).toEqual(["fine", "ask"]);
  live.asked(85);
  live.excuse(95);
  expect([live.verdict(109), live.verdict(110)]).toEqual(["fine", "dead"]);
});

test("an interval of 0 asks nobody", () => {
  const live = side(0);
  expect([live.verdict(1e9), live.nextDue()]).toEqual(["fine", Infinity]);
});

test("nextDue is the moment at which the verdict changes, whatever happened before", () => {
  const event = fc.tuple(fc.constantFrom("byte", "asked", "excuse", "answered"), fc.integer({ min: 1, max: 50 }));
  fc.assert(
    fc.property(fc.array(event, { maxLength: 12 }), (events) => {
      const live = side();
      let now = 0;
      for (const [what, later] of events) {
        now += later;
        if (what === "byte") live.lastByte = now;
        else if (what === "asked") live.asked(now);
        else if (what === "excuse") live.excuse(now);
        else live.answered(now, 1);
      }
      const due = live.nextDue();
      expect(live.verdict(due - 0.1)).toBe("fine");
      expect(live.verdict(due)).not.toBe("fine");
    }),
  );
});
