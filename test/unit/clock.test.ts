import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Clock, Deadline } from "../../src/core/timer.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] }));
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** A deadline that notes when it was late. */
class Noted extends Deadline {
  late: number[] = [];

  onDue(now: number): void {
    this.late.push(Math.round(now));
  }
}

function deadline(clock: Clock, due: number): Noted {
  const made = new Noted(clock);
  made.due = due;
  return made;
}

test("a deadline is met once, within a tick", () => {
  const clock = new Clock(50);
  const one = deadline(clock, performance.now() + 120);
  clock.watch(one);
  const start = performance.now();
  vi.advanceTimersByTime(1000);
  expect(one.late).toEqual([Math.round(start + 150)]);
});

test("one that is forgotten is never late, and the timer ends with the last one", () => {
  const clock = new Clock(50);
  const one = deadline(clock, performance.now() + 120);
  clock.watch(one).leave();
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1000);
  expect([one.late, vi.getTimerCount()]).toEqual([[], 0]);
});

test("a thousand deadlines share one timer", () => {
  const clock = new Clock(50);
  for (let i = 0; i < 1000; i += 1) clock.watch(deadline(clock, i));
  expect(vi.getTimerCount()).toBe(1);
});

test("after we stood still ourselves, nobody is late before the next tick", () => {
  const clock = new Clock(50);
  const waits = deadline(clock, performance.now() + 100);
  const answers = deadline(clock, performance.now() + 100);
  clock.watch(waits);
  clock.watch(answers);
  vi.advanceTimersByTime(50);
  // The process is frozen for 5 s: the clock goes on, no timer runs.
  const frozen = vi.spyOn(performance, "now").mockImplementation(() => 50_000);
  vi.advanceTimersByTime(50);
  expect([waits.late, answers.late]).toEqual([[], []]);
  // Now the bytes that had come are read.
  answers.due = Infinity;
  frozen.mockImplementation(() => 50_050);
  vi.advanceTimersByTime(50);
  expect([waits.late, answers.late]).toEqual([[50_050], []]);
});

test("on a machine where every tick is late, deadlines are met all the same", () => {
  const clock = new Clock(50);
  const one = deadline(clock, performance.now() + 100);
  clock.watch(one);
  let time = performance.now();
  vi.spyOn(performance, "now").mockImplementation(() => (time += 5000));
  vi.advanceTimersByTime(100);
  expect(one.late).toHaveLength(1);
});
