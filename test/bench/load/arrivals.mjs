// New connections at a steady pace: connect, one request, one answer, closed by the one or by the other.

import { dial, Latencies, within } from "./connection.mjs";

/** @param {string} more */
const request = (more) => Buffer.from(`GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}\r\n`);
const BATCH_MS = 10;
const LAST_ANSWER_MS = 3000;
/** Connections that are open at a time while the peer warms up. */
const AT_ONCE = 16;
const WARM_MS = 35_000;

/**
 * @param {number} port
 * @param {{ perSecond: number, end: "server" | "client" | "reset", warmUp?: number }} options `end`: the server is
 *   asked to close, or the client closes when it has its answer, or it resets the connection; `warmUp` connections come
 *   before, as fast as they go: at its pace a peer would be measured half compiled
 */
export async function arrivals(port, { perSecond, end, warmUp = 0 }) {
  const text = request(end === "server" ? "Connection: close\r\n" : "");
  /** @type {Set<import("node:net").Socket>} */
  const open = new Set();
  let units = 0;
  let errors = 0;
  let latencies = new Latencies();
  let onGone = () => {};
  const arrive = () => {
    const sent = performance.now();
    let got = 0;
    let good = false;
    const socket = dial(port, {
      onBytes(bytes) {
        if (got === 0) good = bytes.toString("latin1", 0, 12) === "HTTP/1.1 200";
        got += bytes.length;
        // A pipe leaves it to us to close: the upstream keeps its connections.
        if (bytes[bytes.length - 1] !== 0x61) return;
        if (end === "reset") socket.resetAndDestroy();
        else socket.end();
      },
      onEnd() {
        open.delete(socket);
        if (good) latencies.record(sent);
        if (good) units += 1;
        else errors += 1;
        onGone();
      },
    });
    open.add(socket);
    socket.write(text);
  };
  if (warmUp > 0) {
    let left = warmUp;
    const warm = new Promise((resolve) => {
      onGone = () => {
        left -= 1;
        if (left >= AT_ONCE) arrive();
        else if (open.size === 0) resolve(undefined);
      };
    });
    for (let i = 0; i < AT_ONCE; i += 1) arrive();
    await within(warm, "warm up", WARM_MS);
    onGone = () => {};
  }
  return {
    async measure(/** @type {number} */ ms) {
      units = 0;
      errors = 0;
      latencies = new Latencies();
      const begin = performance.now();
      let made = 0;
      while (performance.now() - begin < ms) {
        const due = Math.min(perSecond * (ms / 1000), ((performance.now() - begin) * perSecond) / 1000);
        for (; made < due; made += 1) arrive();
        await new Promise((resolve) => setTimeout(resolve, BATCH_MS));
      }
      const all = new Promise((resolve) => {
        const check = () => (open.size > 0 ? setTimeout(check, 5) : resolve(undefined));
        check();
      });
      await within(all, "hear the last answers", LAST_ANSWER_MS).catch(() => (errors += open.size));
      return latencies.sample(units, errors);
    },
    close() {
      for (const socket of open) socket.destroy();
    },
  };
}
