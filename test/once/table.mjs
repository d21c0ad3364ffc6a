// A request meets a connection that is ended at the same moment, many times over: what is known of it by src/exchange/
// trial.ts, beside what the far end really read. What has a proof must never have been acted on.

import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { guard } from "../../dist/core/sockets.js";
import { Trial } from "../../dist/exchange/trial.js";

const LANES = 16;
/** One is sent within so many microseconds after the far end is ready. */
const WITHIN_US = 250;

/** How often each came: what was known, and whether the request was acted on.
 * @typedef {{ mode: string, bytes: number, looked: boolean, counts: Record<string, number>, wrong: number }} Row */

/**
 * Our side of one connection.
 *
 * @param {import("node:net").Socket} socket
 * @param {{ id: string, bytes: number, looks: boolean }} request
 * @returns {Promise<string>} what is known in the end
 */
function send(socket, { id, bytes, looks }) {
  const fate = guard(socket);
  const trial = new Trial(socket);
  let sent = false;
  return new Promise((resolve) => {
    const known = (/** @type {string} */ how) => {
      resolve(sent ? (trial.proof(false) ?? `none, ${how}`) : "not sent");
      trial.stop();
      socket.destroy();
    };
    socket.once("end", () => {
      if (sent) trial.fin((reset) => known(reset ? "RST behind FIN" : "FIN"));
      else known("");
    });
    socket.once("close", () => known(`${fate.code ?? fate.how}`));
    socket.once("data", () => {
      const at = performance.now() + (Math.random() * WITHIN_US) / 1000;
      const write = () => {
        if (fate.how !== undefined || socket.destroyed || !socket.readable) return;
        sent = true;
        trial.send(id.padEnd(bytes, "x"), undefined);
      };
      const look = () => {
        if (fate.how !== undefined || socket.destroyed || !socket.readable) return;
        if (performance.now() < at) setImmediate(look);
        else if (looks) setImmediate(() => setImmediate(write));
        else write();
      };
      look();
    });
  });
}

/**
 * @param {number} tries of each kind
 * @param {(row: Row) => void} [tell]
 * @returns {Promise<Row[]>}
 */
export async function table(tries, tell = () => {}) {
  const far = fork(fileURLToPath(new URL("far.mjs", import.meta.url)));
  const [{ modes }] = /** @type {[{ modes: string[] }]} */ (await once(far, "message"));
  /** @type {Row[]} */
  const rows = [];
  try {
    for (const mode of modes) {
      for (const bytes of [1200, 10 * 1024]) {
        for (const looked of [false, true]) {
          const row = await race(far, { mode, bytes, looked }, tries);
          rows.push(row);
          tell(row);
        }
      }
    }
  } finally {
    far.disconnect();
  }
  return rows;
}

/**
 * @param {import("node:child_process").ChildProcess} far
 * @param {{ mode: string, bytes: number, looked: boolean }} kind
 * @param {number} tries
 * @returns {Promise<Row>}
 */
async function race(far, kind, tries) {
  const { mode, bytes, looked } = kind;
  /** @type {Map<string, string>} */
  const known = new Map();
  /** @type {Promise<unknown>[]} */
  const pending = [];
  const server = createServer({ noDelay: true }, (socket) => {
    const id = String(pending.length).padStart(10, "0");
    pending.push(send(socket, { id, bytes, looks: looked }).then((what) => known.set(id, what)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const answer = once(far, "message");
  far.send({ port, mode, tries, lanes: LANES });
  const [{ acted }] = /** @type {[{ acted: string[] }]} */ (await answer);
  await Promise.all(pending);
  server.close();
  /** @type {Record<string, number>} */
  const counts = {};
  let wrong = 0;
  const read = new Set(acted);
  for (const [id, what] of known) {
    const key = `${what}${read.has(id) ? ", acted on" : ""}`;
    counts[key] = (counts[key] ?? 0) + 1;
    if (read.has(id) && (what === "unread" || what === "unsent")) wrong += 1;
  }
  return { ...kind, counts, wrong };
}
