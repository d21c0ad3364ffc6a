// One process of clients of the soak: plays its share of the faults, so many at once, and counts what it came to.

import { playCell } from "./client.mjs";
import { playOrdinary, playTunnel } from "./ordinary.mjs";
import { pick, randomOf } from "./random.mjs";
import { cells } from "./scenes.mjs";

/** @type {{ port: number; seed: number; faults: number; concurrency: number }} */
const { port, seed, faults, concurrency } = JSON.parse(process.argv[2] ?? "{}");

/** Of so many faults one comes at any moment instead of its own. */
const BLIND_SHARE = 0.1;
const MAX_DELAY_MS = 20;
/** So many faults to one exchange that has to go well, and to one with a mux that is killed and frozen all the time. */
const ORDINARY_EVERY = 10;
const FRAIL_EVERY = 40;
const MAX_FRAIL = 20;
const MAX_AWAY = 100;
const MAX_TUNNELS = 50;

const random = randomOf(seed);
const all = cells();
const near = all.filter(({ value }) => value.scene !== 2);
const counts = { faults: 0, ordinary: 0, unsure: 0, exchanges: 0, statuses: {}, cells: {} };
const failures = [];
const state = { running: 0, begun: 0, stopped: false };
const taken = { frail: 0, away: 0, tunnels: 0 };

/** @param {Promise<import("./dialled.mjs").Played>} playing @param {() => void} [over] */
async function account(playing, over) {
  state.running += 1;
  const { status, sure, failure } = await playing;
  state.running -= 1;
  over?.();
  if (failure !== undefined && failures.length < 20) failures.push(failure);
  if (!sure) counts.unsure += 1;
  else if (status !== null) {
    counts.exchanges += 1;
    counts.statuses[status] = (counts.statuses[status] ?? 0) + 1;
  }
  fill();
}

/** @param {keyof typeof taken} kind */
function take(kind) {
  taken[kind] += 1;
  return () => void (taken[kind] -= 1);
}

function beginFault() {
  state.begun += 1;
  const cell = pick(taken.away < MAX_AWAY ? all : near, random());
  const blind = cell.side === "client" && cell.fault !== "stall" && random() < BLIND_SHARE;
  const delayMs = random() < 0.5 ? 0 : Math.floor(random() * MAX_DELAY_MS);
  counts.faults += 1;
  const name = `${cell.scene} ${cell.side} ${cell.fault}`;
  counts.cells[name] = (counts.cells[name] ?? 0) + 1;
  void account(playCell({ port, cell, delayMs, blind }), cell.scene === 2 ? take("away") : undefined);
}

function beginOrdinary() {
  counts.ordinary += 1;
  const kind = pick(
    [
      { weight: 4, value: "get" },
      { weight: 1, value: "big" },
      { weight: 2, value: "post" },
    ],
    random(),
  );
  void account(playOrdinary(port, kind, state.begun));
  if (taken.tunnels < MAX_TUNNELS) void account(playTunnel(port, "/mux", 3, false), take("tunnels"));
}

function fill() {
  while (!state.stopped && state.begun < faults && state.running < concurrency) {
    if (state.begun % ORDINARY_EVERY === 0) beginOrdinary();
    if (state.begun % FRAIL_EVERY === 0 && taken.frail < MAX_FRAIL) {
      void account(playTunnel(port, "/frail", 20, true), take("frail"));
    }
    beginFault();
  }
  if (state.running === 0 && (state.stopped || state.begun >= faults)) {
    process.send?.({ done: true, counts, failures }, () => process.disconnect());
  }
}

const timer = setInterval(() => process.send?.({ counts, failures }), 1000);
timer.unref();
process.on("message", (message) => {
  if (message === "stop") state.stopped = true;
});
process.on("disconnect", () => process.exit());
fill();
