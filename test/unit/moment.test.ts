import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { thisMoment } from "../../src/core/moment.ts";
import { parseTarget } from "../../src/core/target.ts";
import { Clock } from "../../src/core/timer.ts";
import { Monitor } from "../../src/upstream/monitor.ts";
import { Whereabouts } from "../../src/upstream/whereabouts.ts";

const NOON = "2026-01-01T12:00:00.000Z";
const NEXT_DAY = "2026-01-02T12:00:00.000Z";

// Only the clock of the wall is put: that is what a suspended machine, and whoever sets the time, does.
beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

test("a date stays what it was when it was made, whatever becomes of the clock", () => {
  vi.setSystemTime(NOON);
  const noon = thisMoment();
  vi.setSystemTime(NEXT_DAY);
  expect([noon.date, thisMoment().date]).toEqual([NOON, NEXT_DAY]);
  expect(thisMoment().ms - noon.ms).toBeLessThan(5000);
});

test("the dates of a link are those of its changes, after a step of the clock, too", () => {
  const events = {
    changed: () => {},
    lost: () => {},
    suspected: () => {},
    refused: () => {},
    unreachable: () => {},
    lastByte: () => -Infinity,
  };
  const options = { intervalMs: 0, timeoutMs: 1000, httpPath: undefined };
  const monitor = new Monitor("http", new Whereabouts(parseTarget("4000"), () => {}), {
    options,
    clock: new Clock(),
    events,
  });
  vi.setSystemTime(NOON);
  monitor.connected();
  expect(monitor.status).toMatchObject({ connectedSince: NOON });
  vi.setSystemTime(NEXT_DAY);
  monitor.failed("ECONNREFUSED");
  expect(monitor.away?.since?.toISOString()).toBe(NEXT_DAY);
  expect(monitor.status.connectedSince).toBe(NOON);
  expect(monitor.status.history.map(({ at }) => at)).toEqual([NOON, NEXT_DAY]);
});
