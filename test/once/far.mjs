// The far end of the races in table.mjs, in a process of its own: connects, says that it is ready, and then does one
// thing to the connection at a moment of its own. What it reads of a request before that, it acts on.

import { connect } from "node:net";

/** It acts within so many microseconds. */
const WITHIN_US = 300;

/** @param {number} us */
const soon = (us) =>
  new Promise((resolve) => {
    const at = performance.now() + us / 1000;
    const look = () => void (performance.now() < at ? setImmediate(look) : resolve(undefined));
    look();
  });

/** @typedef {import("node:net").Socket} Socket */

/** What it does when its moment has come. @type {Record<string, (socket: Socket) => unknown>} */
const DEEDS = {
  close: (socket) => socket.destroy(),
  reset: (socket) => socket.resetAndDestroy(),
  "half-close, close": async (socket) => {
    socket.end();
    await soon(Math.random() * WITHIN_US);
    socket.destroy();
  },
  "half-close, close at once": (socket) => socket.end(() => socket.destroy()),
  // These read a request and act on it, and do not answer it.
  "read, close": () => {},
  "read, half-close, close": () => {},
  "read a part, half-close, close": () => {},
};

/** What it does once it has read something. @type {Record<string, (socket: Socket) => unknown>} */
const AFTER_READING = {
  "read, half-close, close": (socket) => socket.end(() => socket.destroy()),
  "read a part, half-close, close": (socket) => socket.end(() => socket.destroy()),
};

/** @type {string[]} */
let acted = [];

/** One connection. @param {number} port @param {string} mode */
async function once(port, mode) {
  const bytes = mode.includes("part") ? 4096 : 64 * 1024;
  const inbox = Buffer.alloc(bytes);
  let ended = false;
  const callback = (/** @type {number} */ size) => {
    // Behind its own FIN a server takes no request any more (RFC 9112 9.6).
    if (!ended) acted.push(inbox.toString("latin1", 0, Math.min(size, 10)));
    ended = true;
    const end = AFTER_READING[mode];
    if (end) end(socket);
    else socket.destroy();
    return false;
  };
  const socket = connect({
    port,
    host: "127.0.0.1",
    noDelay: true,
    allowHalfOpen: true,
    onread: { buffer: inbox, callback },
  });
  const over = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  socket.on("end", () => socket.destroy());
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  socket.write("r");
  await soon(Math.random() * WITHIN_US);
  if (!ended && !socket.destroyed) {
    if (!mode.startsWith("read")) ended = true;
    await DEEDS[mode]?.(socket);
  }
  await over;
}

/** @param {{ port: number, mode: string, tries: number, lanes: number }} told */
async function play({ port, mode, tries, lanes }) {
  acted = [];
  let begun = 0;
  const lane = async () => {
    while (begun++ < tries) await once(port, mode);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  process.send?.({ acted });
}

process.on("message", (/** @type {Parameters<typeof play>[0]} */ told) => void play(told));
process.on("disconnect", () => process.exit());
process.send?.({ modes: Object.keys(DEEDS) });
