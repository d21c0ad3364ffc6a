// Runs one item of work: every peer in every round, each round beginning with another one, so that whatever else the
// machine does falls on all of them.

import { message, start, startModule, stop } from "./children.mjs";
import { closedForgotten, cpuMicros, residentBytes } from "./measure.mjs";
import { wrk } from "./load/wrk.mjs";
import { startPeer, startUpstream } from "./peers.mjs";

const PREPARE_MS = 40_000;
/** Before these, a program that is compiled while it runs is measured half compiled: 5 times the cost at first. */
const WARM_UNITS = 20_000;
const MAX_WARM_ROUNDS = 5;
/** Before each round, too: while a peer rests, V8 drops compiled code whose objects have all gone. */
const AGAIN_UNITS = { arrivals: 2000, events: 20_000 };
/** Tunnels that load what a peer loads lazily, before memory is compared. */
const FIRST_TUNNELS = 10;

/** What one measurement of one peer came to: `cpu` in microseconds for each unit, `memory` in bytes for each unit,
 * times in milliseconds, `rss` in bytes.
 * @typedef {{ units: number, cpu: number, memory: number, p50: number, p99: number, wall: number, rss: number,
 *   errors: number }} Figures */

/** Figures by peer (and variant), one for each round. @typedef {Map<string, Figures[]>} Results */

/** @typedef {{ key: string, peer: string, options: any }} Entry */

/** @param {import("./work.mjs").Work} work @param {string[]} peers @returns {Entry[]} */
function entriesOf({ variants, options }, peers) {
  if (!variants) return peers.map((peer) => ({ key: peer, peer, options }));
  return peers.flatMap((peer) =>
    Object.entries(variants).map(([name, more]) => ({ key: `${peer} ${name}`, peer, options: more })),
  );
}

/**
 * @param {import("./work.mjs").Work} work
 * @param {string[]} peers those of the work that are here
 * @param {{ rounds: number, seconds: number, processes: number, progress(text: string): void }} how `processes` of
 *   each peer are used in turn: what the compiler made of one can differ from another by a fifth
 * @returns {Promise<Results>}
 */
export async function run(work, peers, how) {
  const entries = entriesOf(work, peers);
  /** @type {Results} */
  const results = new Map(entries.map(({ key }) => [key, []]));
  if (work.kind === "start") await starts(entries, results, how);
  else if (work.ratio === "memory") await freshly(work, entries, results, how);
  else await steadily(work, entries, results, how);
  return results;
}

/**
 * @template T
 * @param {T[]} all
 * @param {number} by
 */
function rotated(all, by) {
  const at = by % all.length;
  return [...all.slice(at), ...all.slice(0, at)];
}

/** The process that makes the load, asked by messages. */
class LoadProcess {
  #child = startModule(new URL("load/main.mjs", import.meta.url));

  /** @param {object} told @param {number} ms */
  async tell(told, ms) {
    const answer = message(this.#child, ms);
    this.#child.send(told);
    return await answer;
  }

  async end() {
    await stop(this.#child);
  }
}

/**
 * @param {LoadProcess} load
 * @param {import("./work.mjs").Work} work
 * @param {Entry} entry
 * @param {import("./peers.mjs").Peer} peer
 * @param {number} seconds
 * @returns {Promise<Figures>}
 */
async function once(load, work, entry, peer, seconds) {
  const { pid, port } = peer;
  const ms = seconds * 1000 * (work.longer ?? 1);
  if (work.kind !== "wrk") {
    await load.tell({ prepare: work.kind, port, options: entry.options }, PREPARE_MS).catch((error) => {
      throw new Error(`${entry.key}: ${error.message}`, { cause: error });
    });
  }
  const before = cpuMicros(pid);
  /** @type {import("./load/main.mjs").Sample} */
  const sample =
    work.kind === "wrk" ? await wrk(port, entry.options, ms / 1000) : await load.tell({ measure: ms }, ms + 10_000);
  const used = cpuMicros(pid) - before;
  const rss = residentBytes(pid);
  if (work.kind !== "wrk") await load.tell({ close: true }, 5000);
  if (sample.units === 0) throw new Error(`${entry.key} carried nothing`);
  const { units, p50, p99, errors } = sample;
  return { units, cpu: used / units, memory: Number.NaN, p50, p99, wall: Number.NaN, rss, errors };
}

/**
 * New connections and events come at a pace, which warms slowly: so many come first.
 *
 * @type {(...args: [import("./work.mjs").Work, Entry, number?]) => Entry}
 */
function warmed({ kind }, entry, first) {
  if (kind !== "arrivals" && kind !== "events") return entry;
  return { ...entry, options: { ...entry.options, warmUp: first ?? AGAIN_UNITS[kind] } };
}

/**
 * All peers at once, one of them under load.
 *
 * @type {(...args: [import("./work.mjs").Work, Entry[], Results, any]) => Promise<void>}
 */
async function steadily(work, entries, results, { rounds, seconds, processes, progress }) {
  const upstream = await startUpstream();
  const load = new LoadProcess();
  /** @type {{ entry: Entry, peer: import("./peers.mjs").Peer }[]} */
  const running = [];
  try {
    for (let turn = 0; turn < processes; turn += 1) {
      for (const entry of entries) running.push({ entry, peer: await startPeer(entry.peer, upstream.port) });
    }
    for (const { entry, peer } of running) {
      progress(`${work.name}, warming up: ${entry.key}`);
      // At a pace, more rounds would not make it warm: new connections come as fast as they go before the first one.
      const paced = entry.options.perSecond !== undefined;
      const most = paced ? 1 : MAX_WARM_ROUNDS;
      const warming = warmed(work, entry, WARM_UNITS);
      let units = 0;
      for (let round = 0; round < most && units < WARM_UNITS; round += 1) {
        units += (await once(load, work, warming, peer, seconds)).units;
      }
    }
    if (work.kind === "arrivals") {
      progress(`${work.name}, waiting for the end of what is closed`);
      await closedForgotten();
    }
    for (let round = 0; round < rounds; round += 1) {
      const turn = (round % processes) * entries.length;
      for (const { entry, peer } of rotated(
        running.slice(turn, turn + entries.length),
        round + Math.floor(round / processes),
      )) {
        progress(`${work.name}, round ${round + 1} of ${rounds}: ${entry.key}`);
        results.get(entry.key)?.push(await once(load, work, warmed(work, entry), peer, seconds));
      }
    }
  } finally {
    await Promise.all([load.end(), stop(upstream.child), ...running.map(({ peer }) => stop(peer.child))]);
  }
}

/** Each peer in a new process for each round: what it had before is in its memory for ever. @type {typeof steadily} */
async function freshly(work, entries, results, { rounds, seconds, progress }) {
  const upstream = await startUpstream();
  const load = new LoadProcess();
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const entry of rotated(entries, round)) {
        progress(`${work.name}, round ${round + 1} of ${rounds}: ${entry.key}`);
        const peer = await startPeer(entry.peer, upstream.port);
        try {
          const first = { ...entry.options, connections: FIRST_TUNNELS };
          await load.tell({ prepare: work.kind, port: peer.port, options: first }, PREPARE_MS);
          const empty = residentBytes(peer.pid);
          await load.tell({ close: true }, 5000);
          const figures = await once(load, work, entry, peer, seconds);
          figures.memory = (figures.rss - empty) / entry.options.connections;
          results.get(entry.key)?.push(figures);
        } finally {
          await stop(peer.child);
        }
      }
    }
  } finally {
    await Promise.all([load.end(), stop(upstream.child)]);
  }
}

/**
 * How long until a peer listens, or until `node -e 0` is over.
 *
 * @type {(...args: [Entry[], Results, any]) => Promise<void>}
 */
async function starts(entries, results, { rounds, progress }) {
  const upstream = await startUpstream();
  try {
    // Short, and so at the mercy of whatever else runs: more of them.
    for (let round = 0; round < rounds * 4; round += 1) {
      progress(`start, round ${round + 1} of ${rounds * 4}`);
      for (const { key, peer } of rotated(entries, round)) {
        const begin = performance.now();
        const child = peer === "node -e 0" ? await nothing() : (await startPeer(peer, upstream.port)).child;
        const wall = performance.now() - begin;
        await stop(child);
        const none = {
          units: 1,
          cpu: Number.NaN,
          memory: Number.NaN,
          p50: Number.NaN,
          p99: Number.NaN,
          rss: Number.NaN,
        };
        results.get(key)?.push({ ...none, wall, errors: 0 });
      }
    }
  } finally {
    await stop(upstream.child);
  }
}

async function nothing() {
  const { child } = start(process.execPath, ["-e", "0"]);
  await new Promise((resolve) => child.once("exit", resolve));
  return child;
}
