// Requests on connections that stay: as fast as answers come, or at a steady pace.

import { dial, Latencies, several, within } from "./connection.mjs";

const REQUEST = Buffer.from(
  "GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n",
);
const LAST_ANSWER_MS = 3000;

class Client {
  /** @type {import("node:net").Socket} */
  socket;
  waits = false;
  lost = false;
  sent = 0;
  #text = "";
  /** @type {(client: Client, good: boolean) => void} */
  answered;

  /** @param {number} port @param {(client: Client, good: boolean) => void} answered */
  constructor(port, answered) {
    this.answered = answered;
    this.socket = dial(port, this);
  }

  ask() {
    this.waits = true;
    this.sent = performance.now();
    this.socket.write(REQUEST);
  }

  /** @param {Buffer} bytes */
  onBytes(bytes) {
    this.#text += bytes.toString("latin1");
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) return;
    // A small answer whose length is not told is one chunk.
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#text)?.[1];
    const complete =
      length === undefined ? this.#text.endsWith("0\r\n\r\n") : this.#text.length >= end + 4 + Number(length);
    if (!complete) return;
    const good = this.#text.startsWith("HTTP/1.1 200");
    this.#text = "";
    this.#over(good);
  }

  onEnd() {
    this.lost = true;
    if (this.waits) this.#over(false);
  }

  /** @param {boolean} good */
  #over(good) {
    this.waits = false;
    this.answered(this, good);
  }
}

/**
 * @param {number} port
 * @param {{ connections: number, active?: number, perSecond?: number, warmUp?: number }} options no pace: as fast as it
 *   goes, with so many in flight (all, if not told); `warmUp` requests come before, because a proxy runs for weeks, and
 *   at a slow pace its code would be compiled during all of the measurement
 */
export async function requests(port, { connections, active = connections, perSecond, warmUp = 0 }) {
  /** @type {Client[]} */
  const clients = [];
  // Each has had an answer before it counts, so that the connections to the upstream stand, too.
  await several(
    connections,
    () =>
      new Promise((resolve, reject) => {
        const client = new Client(port, (_, good) => (good ? resolve(undefined) : reject(new Error("refused"))));
        clients.push(client);
        client.ask();
      }),
  );
  for (let asked = 0; asked < warmUp; asked += connections) {
    await Promise.all(
      clients.map(
        (client) =>
          new Promise((resolve) => {
            client.answered = resolve;
            client.ask();
          }),
      ),
    );
  }
  let units = 0;
  let errors = 0;
  let latencies = new Latencies();
  const count = (/** @type {Client} */ client, /** @type {boolean} */ good) => {
    if (good) latencies.record(client.sent);
    if (good) units += 1;
    else errors += 1;
  };
  const settled = async () => {
    const all = new Promise((resolve) => {
      const check = () => (clients.some((client) => client.waits) ? setTimeout(check, 5) : resolve(undefined));
      check();
    });
    await within(all, "hear the last answers", LAST_ANSWER_MS).catch(() => {});
    errors += clients.filter((client) => client.waits).length;
  };

  /** @param {number} ms */
  const steadily = async (ms) => {
    const every = 1000 / (perSecond ?? 1);
    const begin = performance.now();
    for (const client of clients) client.answered = count;
    for (let i = 0; i * every < ms; i += 1) {
      const wait = begin + i * every - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      clients[i % connections]?.ask();
    }
  };

  /** @param {number} ms */
  const fast = async (ms) => {
    let running = true;
    let next = active;
    for (const client of clients) {
      client.answered = (one, good) => {
        count(one, good);
        if (!running) return;
        // All take turns, the one that was just answered last.
        const another = active < connections ? clients[next++ % connections] : one;
        if (another && !another.lost && !another.waits) another.ask();
      };
    }
    for (const client of clients.slice(0, active)) client.ask();
    await new Promise((resolve) => setTimeout(resolve, ms));
    running = false;
  };

  return {
    async measure(/** @type {number} */ ms) {
      units = 0;
      errors = 0;
      latencies = new Latencies();
      await (perSecond === undefined ? fast(ms) : steadily(ms));
      await settled();
      return latencies.sample(units, errors);
    },
    close() {
      for (const { socket } of clients) socket.destroy();
    },
  };
}
