// Servers that end idle connections at random moments, whether they have promised to keep them or not. Asked by
// messages: for a server of a kind, and for what it acted on.

import { createServer } from "node:http";

/** After one answer in so many the connection is ended, within so many milliseconds, unless a request comes. */
const ONE_IN = 20;
const WITHIN_MS = 5;

/**
 * How it ends a connection: with a FIN of close(), which is a RST if a request waits unread; with a FIN of shutdown(),
 * as RFC 9112 9.6 has it, behind which it reads and does nothing; with a RST.
 *
 * @typedef {{ promises: boolean, ends: "close" | "half-close" | "reset" }} Kind
 */

/** @type {Record<Kind["ends"], (socket: import("node:net").Socket) => unknown>} */
const ENDS = {
  close: (socket) => socket.destroy(),
  "half-close": (socket) => socket.end(),
  reset: (socket) => socket.resetAndDestroy(),
};

/** How often each POST was acted on, by port. @type {Map<number, Record<string, number>>} */
const acted = new Map();

/** @param {Kind} kind @returns {Promise<number>} */
function liar({ promises, ends }) {
  /** @type {Record<string, number>} */
  const mine = {};
  /** @type {WeakMap<import("node:net").Socket, NodeJS.Timeout>} */
  const timers = new WeakMap();
  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    const { socket } = req;
    clearTimeout(timers.get(socket));
    if (socket.writableEnded) return;
    req.resume().on("end", () => {
      const id = String(req.headers["x-id"]);
      if (req.method === "POST") mine[id] = (mine[id] ?? 0) + 1;
      // Named by us, node does not add the 60 seconds.
      if (!promises) res.setHeader("Connection", "keep-alive");
      res.end("ok");
    });
    res.once("finish", () => {
      if (Math.random() * ONE_IN >= 1) return;
      timers.set(
        socket,
        setTimeout(() => ENDS[ends](socket), Math.random() * WITHIN_MS),
      );
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      acted.set(port, mine);
      resolve(port);
    });
  });
}

process.on("message", (/** @type {{ kind?: Kind, port?: number }} */ { kind, port }) => {
  if (kind) void liar(kind).then((port) => process.send?.({ port }));
  else process.send?.({ acted: acted.get(port ?? 0) });
});
process.on("disconnect", () => process.exit());
