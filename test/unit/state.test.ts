import { expect, test } from "vitest";
import { failed, nextProbeMs, seen, UNSEEN, type LinkFacts } from "../../src/upstream/state.ts";

/** What happens at a time: it was seen, a probe failed, a connect failed. */
type Step = readonly [at: number, what: "seen" | "probe failed" | "connect failed"];

function play(steps: readonly Step[], from: LinkFacts = UNSEEN): LinkFacts[] {
  let facts = from;
  return steps.map(
    ([at, what]) => (facts = what === "seen" ? seen(facts, at) : failed(facts, at, what === "probe failed")),
  );
}
const states = (steps: readonly Step[]): string[] => play(steps).map(({ state }) => state);
const last = (steps: readonly Step[]): LinkFacts => play(steps).at(-1) ?? UNSEEN;

const up: Step = [0, "seen"];

test.each<[string, readonly Step[], string[]]>([
  ["seen at first", [up], ["up"]],
  ["seen again", [up, [1, "seen"]], ["up", "up"]],
  ["one failure", [up, [5000, "connect failed"]], ["up", "suspect"]],
  ["one failed probe", [up, [5000, "probe failed"]], ["up", "suspect"]],
  ["a failure, then seen", [up, [5000, "connect failed"], [5001, "seen"]], ["up", "suspect", "up"]],
  [
    "two failures in a row",
    [up, [5000, "connect failed"], [6000, "connect failed"]],
    ["up", "suspect", "reconnecting"],
  ],
  [
    "failures closer together than a second are one",
    [up, [5000, "connect failed"], [5250, "connect failed"], [5500, "connect failed"], [5999, "connect failed"]],
    ["up", "suspect", "suspect", "suspect", "suspect"],
  ],
  [
    "a second counts from the failure that was counted, not from the last one",
    [up, [5000, "connect failed"], [5900, "connect failed"], [6100, "connect failed"]],
    ["up", "suspect", "suspect", "reconnecting"],
  ],
  [
    "a failed probe counts however soon: it is not repeated by how many wait",
    [up, [5000, "connect failed"], [5200, "probe failed"]],
    ["up", "suspect", "reconnecting"],
  ],
  [
    "seen between two failures: they are not in a row",
    [up, [5000, "connect failed"], [6000, "seen"], [7000, "connect failed"]],
    ["up", "suspect", "up", "suspect"],
  ],
  [
    "never seen, it stays connecting: it is starting, and nothing is lost",
    [
      [0, "probe failed"],
      [1000, "probe failed"],
      [3000, "connect failed"],
      [9000, "probe failed"],
      [9500, "seen"],
    ],
    ["connecting", "connecting", "connecting", "connecting", "up"],
  ],
  [
    "back after it was lost",
    [up, [1000, "probe failed"], [2000, "probe failed"], [3000, "seen"]],
    ["up", "suspect", "reconnecting", "up"],
  ],
])("%s", (_name, steps, expected) => {
  expect(states(steps)).toEqual(expected);
});

test("reconnectCount grows by each outage survived, reconnectTries by each try in one, and neither is ever reset", () => {
  const lost: Step[] = [up, [1000, "probe failed"], [2000, "probe failed"]];
  const facts = play([
    ...lost,
    [3000, "probe failed"],
    [5000, "probe failed"],
    [9000, "seen"],
    [10_000, "probe failed"],
    [10_500, "seen"],
    [20_000, "probe failed"],
    [21_000, "probe failed"],
    [22_000, "seen"],
  ]);
  expect(facts.map(({ reconnectCount }) => reconnectCount)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]);
  expect(facts.map(({ reconnectTries }) => reconnectTries)).toEqual([0, 0, 0, 1, 2, 3, 3, 3, 3, 3, 4]);
});

test("tries of held requests count once a second while reconnecting", () => {
  const steps: Step[] = [up, [1000, "probe failed"], [2000, "probe failed"]];
  for (let at = 2250; at <= 5000; at += 250) steps.push([at, "connect failed"]);
  expect(last(steps)).toMatchObject({ state: "reconnecting", reconnectTries: 3 });
});

test("connectedSince survives a suspicion, is gone while reconnecting, and begins anew after it", () => {
  const since = play([
    [100, "seen"],
    [1000, "probe failed"],
    [1500, "seen"],
    [3000, "probe failed"],
    [4000, "probe failed"],
    [5000, "seen"],
  ]).map(({ connectedSince }) => connectedSince);
  expect(since).toEqual([100, 100, 100, 100, undefined, 5000]);
});

test("firstFailure is the first of the failures in a row, and gone once it is seen", () => {
  const first = play([
    up,
    [1000, "connect failed"],
    [1100, "connect failed"],
    [2500, "probe failed"],
    [9000, "probe failed"],
    [9100, "seen"],
    [9900, "connect failed"],
  ]).map(({ firstFailure }) => firstFailure);
  expect(first).toEqual([undefined, 1000, 1000, 1000, 1000, undefined, 9900]);
});

test("probes back off 1, 2, 4, 8, 16, 30, 30 s while reconnecting, and anew after it was up", () => {
  let facts = last([up, [1000, "probe failed"], [2000, "probe failed"]]);
  let now = 2000;
  for (let round = 0; round < 2; round++) {
    const waits: number[] = [];
    for (let i = 0; i < 7; i++) {
      const wait = nextProbeMs(facts, 10_000, 0.5);
      waits.push(wait);
      now += wait;
      facts = failed(facts, now, true);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    const anew: Step[] = [
      [now, "seen"],
      [now + 10_000, "probe failed"],
      [now + 11_000, "probe failed"],
    ];
    facts = play(anew, facts).at(-1) ?? facts;
    now += 11_000;
  }
});

test("the tries of held requests do not push the next probe away", () => {
  const facts = last([up, [1000, "probe failed"], [2000, "probe failed"]]);
  const busy = play(
    [
      [3000, "connect failed"],
      [4000, "connect failed"],
      [5000, "connect failed"],
    ],
    facts,
  ).at(-1);
  expect(nextProbeMs(busy ?? facts, 10_000, 0.5)).toBe(1000);
});

test("the jitter is a tenth up or down", () => {
  let facts = last([up, [1000, "probe failed"], [2000, "probe failed"]]);
  for (const plain of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    expect(nextProbeMs(facts, 10_000, 0)).toBeCloseTo(plain * 0.9);
    expect(nextProbeMs(facts, 10_000, 1)).toBeCloseTo(plain * 1.1);
    facts = failed(facts, 0, true);
  }
});

test("the interval while it is up, and a second at most to confirm a suspicion", () => {
  const suspect = last([up, [1000, "probe failed"]]);
  expect([nextProbeMs(last([up]), 10_000, 0), nextProbeMs(last([up]), 10_000, 1)]).toEqual([10_000, 10_000]);
  expect([nextProbeMs(suspect, 10_000, 0), nextProbeMs(suspect, 200, 1)]).toEqual([1000, 200]);
});
