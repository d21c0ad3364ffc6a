import { expect, test } from "vitest";
import { age, bars, bytes, fit, rtt } from "../../src/ops/figures.ts";

test.each([
  [-5, "0ms"],
  [0, "0ms"],
  [340.4, "340ms"],
  [999.7, "999ms"],
  [1000, "1s"],
  [59_999, "59s"],
  [64_000, "1m 04s"],
  [3_599_999, "59m 59s"],
  [8_100_000, "2h 15m"],
  [356_400_000, "4d 3h"],
])("%d ms are %s", (ms, words) => {
  expect(age(ms)).toBe(words);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [99_449, "99.4 kB"],
  [99_600, "100 kB"],
  [999_499, "999 kB"],
  [999_999, "1.0 MB"],
  [5e9, "5.0 GB"],
  [2.5e12, "2.5 TB"],
])("%d bytes are %s", (count, words) => {
  expect(bytes(count)).toBe(words);
  expect(words.length).toBeLessThanOrEqual(7);
});

test("round trips below 10 ms have a fraction, and none is a dash", () => {
  expect([rtt(undefined), rtt(0.42), rtt(12.4)]).toEqual(["-", "0.4ms", "12ms"]);
});

test("bars: the highest is full, nothing is blank, the latest stands at the right", () => {
  expect(bars([0, 1, 4, 8], 6)).toBe("   ▁▄█");
  expect(bars([9, 9, 9, 1, 2], 2)).toBe("▄█");
  expect(bars([], 3)).toBe("   ");
});

test("what does not fit is marked", () => {
  expect([fit("abc", 5), fit("abcdef", 4), fit("abcd", 4)]).toEqual(["abc  ", "abc…", "abcd"]);
});
