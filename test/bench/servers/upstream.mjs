// What all peers stand in front of: answers that were made beforehand, on bare sockets, so that it costs little beside
// a proxy. GET /small and /large, POST, an event stream on /events, and a WebSocket that echoes on any upgrade.

import { createHash } from "node:crypto";
import { createServer } from "node:net";

const SMALL = 200;
const LARGE = 100 * 1024;
const EVENTS_EVERY_MS = 200;

/** @param {number} size */
function answer(size) {
  // The fields that a server made with Node and a framework sends.
  const fields = [
    "HTTP/1.1 200 OK",
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-cache, must-revalidate",
    'ETag: "17a2-B4oZ9sYcbIVqWyT1bB0rLvGmF0c"',
    "Vary: Accept-Encoding",
    `Date: ${new Date().toUTCString()}`,
    `Content-Length: ${size}`,
    "Connection: keep-alive",
    "Keep-Alive: timeout=5",
  ];
  return Buffer.concat([Buffer.from(`${fields.join("\r\n")}\r\n\r\n`), Buffer.alloc(size, "a")]);
}

const small = answer(SMALL);
const large = answer(LARGE);
const events = Buffer.from(
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n",
);
/** @type {Set<import("node:net").Socket>} */
const listeners = new Set();

setInterval(() => {
  if (listeners.size === 0) return;
  const event = `event: tick\ndata: ${process.hrtime.bigint()} ${"x".repeat(64)}\n\n`;
  const chunk = Buffer.from(`${event.length.toString(16)}\r\n${event}\r\n`);
  for (const socket of listeners) socket.write(chunk);
}, EVENTS_EVERY_MS);

/** The answer to an upgrade. @param {string} head */
function switching(head) {
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

/**
 * Echoes frames that all have the size of the first: it counts bytes, and answers each whole frame with one that was
 * made beforehand.
 *
 * @param {import("node:net").Socket} socket
 * @param {Buffer} early
 */
function echo(socket, early) {
  let size = 0;
  let seen = 0;
  let reply = Buffer.alloc(0);
  /** @type {Buffer[]} */
  const replies = [];
  const onData = (/** @type {Buffer} */ chunk) => {
    if (size === 0) {
      // A Close, or a Ping in front of it, would be counted as one of them: the load sends neither.
      const short = (chunk[1] ?? 0) & 0x7f;
      const length = short === 126 ? chunk.readUInt16BE(2) : short;
      const header = short === 126 ? 4 : 2;
      size = header + 4 + length;
      reply = Buffer.alloc(header + length, "b");
      reply[0] = 0x82;
      reply[1] = short;
      if (short === 126) reply.writeUInt16BE(length, 2);
      replies.push(Buffer.alloc(0), reply);
    }
    seen += chunk.length;
    const frames = Math.floor(seen / size);
    if (frames === 0) return;
    seen -= frames * size;
    while (replies.length <= frames) replies.push(Buffer.concat([replies.at(-1) ?? reply, reply]));
    socket.write(replies[frames] ?? reply);
  };
  socket.on("data", onData);
  if (early.length > 0) onData(early);
}

const server = createServer({ noDelay: true }, (socket) => {
  /** @type {Buffer} */
  let waiting = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("close", () => listeners.delete(socket));
  const onData = (/** @type {Buffer} */ chunk) => {
    let input = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
    for (;;) {
      const end = input.indexOf("\r\n\r\n");
      if (end < 0) break;
      const head = input.toString("latin1", 0, end);
      if (/^upgrade: *websocket/im.test(head)) {
        socket.off("data", onData);
        socket.write(switching(head), "latin1");
        return echo(socket, input.subarray(end + 4));
      }
      let next = end + 4 + Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      if (/^transfer-encoding: *chunked/im.test(head)) {
        const last = input.indexOf("0\r\n\r\n", end + 4);
        next = last < 0 ? Infinity : last + 5;
      }
      if (input.length < next) break;
      if (head.startsWith("GET /events")) {
        socket.write(events);
        listeners.add(socket);
      } else socket.write(head.startsWith("GET /large") ? large : small);
      input = input.subarray(next);
    }
    waiting = input;
  };
  socket.on("data", onData);
});

process.on("disconnect", () => process.exit());
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  process.send?.({ port });
});
