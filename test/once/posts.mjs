// POSTs through single-port to node's own server, half of them through one that always dials (with nothing kept for
// another attempt, POSTs do): how many were answered, and how many the server acted on more than once.

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { startSinglePort } from "../../dist/index.js";

/** Clients of each of the two. */
const LANES = 8;
const SMALL = Buffer.alloc(100, "b");
const LARGE = Buffer.alloc(10 * 1024, "b");
const EVERY_MS = 1000;
/** Many pauses are of this length, give or take a tenth: around the time at which the server closes. */
const PAUSE_MS = 50;

/**
 * Servers. `keepAliveMs` is how long it really keeps an idle connection; without a promise of ours node promises whole
 * seconds. With `restarts` it is stopped and killed in turn every second. Every second both proxies are new ones: what
 * was caught is trusted again.
 *
 * @type {Record<string, { keepAliveMs: number, promise?: string, restarts?: boolean }>}
 */
export const SERVERS = {
  "keeps for 50 ms, promises nothing": { keepAliveMs: 50 },
  "keeps for 50 ms, promises 5 s": { keepAliveMs: 50, promise: "timeout=5" },
  "restarts every second": { keepAliveMs: 5000, restarts: true },
};

/** What became of the POSTs of one of the two. `pooled` took a pooled connection, `again` were sent again with a proof;
 * `twice` were acted on more than once, `unseen` answered and never acted on.
 * @typedef {{ proxies: number, posts: number, answered: number, status502: number, other: number, pooled: number,
 *   again: number, twice: number, unseen: number }} Counts */

/** @returns {Counts} */
function none() {
  return { proxies: 0, posts: 0, answered: 0, status502: 0, other: 0, pooled: 0, again: 0, twice: 0, unseen: 0 };
}

/** One of the two proxies, and its clients. */
class Way {
  counts = none();
  /** @type {string[]} */
  answered = [];
  #replayBuffer;
  #upstream;
  /** @type {import("../../dist/index.js").SinglePort | undefined} */
  #proxy;
  #agent = new Agent({ keepAlive: true });

  /** @param {number} upstream @param {boolean} pools */
  constructor(upstream, pools) {
    this.#upstream = upstream;
    this.#replayBuffer = pools ? 64 * 1024 : 0;
  }

  /** A new proxy, once all that the old one held was answered. */
  async renew() {
    const { posts } = this.counts;
    for (let i = 0; i < 1000 && this.#proxy && this.counts.posts < posts + 2 * LANES; i += 1) await sleep(5);
    const [old, agent] = [this.#proxy, this.#agent];
    const log = pino({ level: "debug" }, { write: (line) => this.#logged(line) });
    const settings = { port: 0, http: this.#upstream, replayBuffer: this.#replayBuffer, hold: 30_000 };
    this.#proxy = await startSinglePort(settings, log);
    this.#agent = new Agent({ keepAlive: true });
    this.counts.proxies += 1;
    await old?.close();
    agent.destroy();
  }

  async end() {
    await this.#proxy?.close();
    this.#agent.destroy();
  }

  /** @param {string} line */
  #logged(line) {
    if (line.includes('"reused":true')) this.counts.pooled += 1;
    if (line.includes('"proof":')) this.counts.again += 1;
  }

  /** @param {string} id @param {Buffer} body */
  async post(id, body) {
    const headers = { "X-Id": id, "Content-Length": String(body.length) };
    const { port } = /** @type {import("../../dist/index.js").SinglePort} */ (this.#proxy).address;
    const status = await new Promise((resolve) => {
      const req = request({ port, host: "127.0.0.1", agent: this.#agent, method: "POST", headers });
      req.on("error", () => resolve(0));
      req.on("response", (res) => res.resume().on("close", () => resolve(res.complete ? res.statusCode : 0)));
      req.end(body);
    });
    this.counts.posts += 1;
    if (status === 200) {
      this.counts.answered += 1;
      this.answered.push(id);
    } else if (status === 502) this.counts.status502 += 1;
    else this.counts.other += 1;
  }
}

/** @param {string} file @param {{ keepAliveMs: number, promise?: string }} how @param {number} port */
async function serve(file, { keepAliveMs, promise = "" }, port = 0) {
  const script = fileURLToPath(new URL("server.mjs", import.meta.url));
  const child = fork(script, [String(port), file, String(keepAliveMs), promise]);
  const [bound] = await once(child, "message");
  return { child, port: /** @type {number} */ (bound) };
}

/**
 * @param {string} name of a server
 * @param {number} posts each way
 * @returns {Promise<{ pooled: Counts, dialled: Counts, restarts: number }>}
 */
export async function posts(name, posts) {
  const how = SERVERS[name];
  if (!how) throw new Error(`no server ${name}`);
  const folder = mkdtempSync(join(tmpdir(), "single-port-posts-"));
  const file = join(folder, "acted");
  let { child, port } = await serve(file, how);
  const ways = { pooled: new Way(port, true), dialled: new Way(port, false) };
  let restarts = 0;
  let busy = true;
  const disturb = async () => {
    for (;;) {
      await sleep(EVERY_MS);
      if (!busy) return;
      if (how.restarts) {
        const gone = once(child, "exit");
        child.kill(restarts % 2 === 0 ? "SIGTERM" : "SIGKILL");
        await gone;
        ({ child } = await serve(file, how, port));
        restarts += 1;
      }
      await Promise.all(Object.values(ways).map((way) => way.renew()));
    }
  };
  try {
    await Promise.all(Object.values(ways).map((way) => way.renew()));
    const disturbed = disturb();
    await Promise.all(Object.entries(ways).map(([prefix, way]) => drive(way, prefix, posts)));
    busy = false;
    await disturbed;
    judge(ways, readFileSync(file, "latin1"));
  } finally {
    await Promise.all(Object.values(ways).map((way) => way.end()));
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  }
  return { pooled: ways.pooled.counts, dialled: ways.dialled.counts, restarts };
}

/** Sends so many, one after another on each lane, with pauses in which a connection may go stale.
 * @param {Way} way @param {string} prefix @param {number} posts */
async function drive(way, prefix, posts) {
  let begun = 0;
  const lane = async () => {
    while (begun < posts) {
      const number = begun++;
      await way.post(`${prefix}-${number}`, number % 2 === 0 ? SMALL : LARGE);
      // All lanes at about the same time, or some lane would use what another leaves idle.
      if (number % (10 * LANES) < LANES) await sleep(PAUSE_MS * (0.9 + Math.random() / 5));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** @param {Record<string, Way>} ways @param {string} file what the server has acted on */
function judge(ways, file) {
  /** @type {Map<string, number>} */
  const times = new Map();
  for (const id of file.split("\n")) times.set(id, (times.get(id) ?? 0) + 1);
  times.delete("");
  for (const [prefix, { counts, answered }] of Object.entries(ways)) {
    for (const [id, count] of times) if (count > 1 && id.startsWith(prefix)) counts.twice += 1;
    counts.unseen = answered.filter((id) => !times.has(id)).length;
  }
}
