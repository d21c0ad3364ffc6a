import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Clock, Deadline, sleep } from "../../src/core/timer.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A deadline that counts how often it was due. */
class Counted extends Deadline {
  times = 0;
  readonly #act: (self: Deadline) => void;

  constructor(clock: Clock, act: (self: Deadline) => void) {
    super(clock);
    this.#act = act;
  }

  onDue(): void {
    this.times += 1;
    this.#act(this);
  }
}

function deadline(clock: Clock, due: number, act: (self: Deadline) => void = () => {}): Counted {
  const made = new Counted(clock, act);
  made.due = due;
  return made;
}

test("a deadline is told once, within a tick after it is due, and not before", () => {
  const clock = new Clock(50);
  const one = deadline(clock, clock.now + 120);
  clock.watch(one);
  vi.advanceTimersByTime(100);
  expect(one.times).toBe(0);
  vi.advanceTimersByTime(70);
  expect([one.times, one.due]).toEqual([1, Infinity]);
  vi.advanceTimersByTime(10_000);
  expect(one.times).toBe(1);
});

test("a deadline may set the next one while it is told, and may be moved on from outside", () => {
  const clock = new Clock(50);
  const again = deadline(clock, clock.now + 50, (self) => (self.due = clock.now + 100));
  const moved = deadline(clock, clock.now + 50);
  clock.watch(again);
  clock.watch(moved);
  moved.due = clock.now + 1000;
  vi.advanceTimersByTime(500);
  expect(again.times).toBe(5);
  expect(moved.times).toBe(0);
});

test("a deadline that was put off may be brought forward again", () => {
  const clock = new Clock(50);
  const one = deadline(clock, clock.now + 10_000);
  clock.watch(one);
  clock.watch(deadline(clock, clock.now + 50));
  vi.advanceTimersByTime(200);
  one.due = clock.now + 100;
  vi.advanceTimersByTime(200);
  expect(one.times).toBe(1);
});

test("one that throws keeps no other from being told, within two ticks", () => {
  const clock = new Clock(50);
  const due = clock.now + 50;
  clock.watch(
    deadline(clock, due, () => {
      throw new Error("a bug");
    }),
  );
  const behind = deadline(clock, due);
  clock.watch(behind);
  expect(() => vi.advanceTimersByTime(60)).toThrow("a bug");
  vi.advanceTimersByTime(60);
  expect(behind.times).toBe(1);
});

test("what is forgotten is not told, even when another forgets it in the same tick", () => {
  const clock = new Clock(50);
  const second = deadline(clock, clock.now + 50);
  const first = deadline(clock, clock.now + 50, () => watched.leave());
  clock.watch(first);
  const watched = clock.watch(second);
  vi.advanceTimersByTime(200);
  expect([first.times, second.times]).toEqual([1, 0]);
});

test("with nothing to watch no timer runs, and it starts again with the next", () => {
  const clock = new Clock(50);
  expect(vi.getTimerCount()).toBe(0);
  const watched = clock.watch(deadline(clock, Infinity));
  clock.watch(deadline(clock, Infinity)).leave();
  expect(vi.getTimerCount()).toBe(1);
  watched.leave();
  vi.advanceTimersByTime(60);
  expect(vi.getTimerCount()).toBe(0);
  const one = deadline(clock, performance.now() + 100);
  clock.watch(one);
  vi.advanceTimersByTime(160);
  expect(one.times).toBe(1);
});

test("now is refreshed when a clock that stood still is used again", () => {
  const clock = new Clock(50);
  const before = clock.now;
  vi.advanceTimersByTime(5000);
  clock.watch(deadline(clock, Infinity));
  expect(clock.now).toBe(before + 5000);
});

test("a sleep ends after its time, or at once when it is aborted, and leaves no timer", async () => {
  const long = new AbortController();
  const aborted = sleep(60_000, long.signal);
  long.abort();
  await aborted;
  await sleep(60_000, AbortSignal.abort());
  expect(vi.getTimerCount()).toBe(0);
  const slept = sleep(100).then(() => "slept");
  await vi.advanceTimersByTimeAsync(100);
  expect(await slept).toBe("slept");
});

test("what is planned once happens once, and not when it is called off", () => {
  const clock = new Clock(50);
  const happened: string[] = [];
  clock.after(120, () => happened.push("planned"));
  const callOff = clock.after(120, () => happened.push("called off"));
  vi.advanceTimersByTime(100);
  callOff();
  vi.advanceTimersByTime(10_000);
  expect(happened).toEqual(["planned"]);
});
