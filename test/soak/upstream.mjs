// The upstreams of the soak: a web server and a mux on one raw port, which do what the target of a request says.
// Several of them share a port (node:cluster), or one is alone on the port it is given.

import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { Frames, repliesTo } from "./frames.mjs";
import { cellOf, FLOOD, FLOOD_CHUNK, needsFlood, partOf, SCENES } from "./scenes.mjs";

/** Longer than any limit of the proxy: a connection that is still open by then was forgotten by it. */
const FORGOTTEN_MS = 20_000;
/** As long as a stalled peer takes nothing. */
const STALL_MS = 6000;

/** @type {Map<import("node:net").Socket, { what: string; since: number }>} */
const open = new Map();
const failures = [];

/** @param {import("node:net").Socket} socket @param {string} what */
function watch(socket, what) {
  open.set(socket, { what, since: performance.now() });
}

setInterval(() => {
  for (const [socket, { what, since }] of open) {
    if (performance.now() - since < FORGOTTEN_MS) continue;
    failures.push(`an upstream connection was left open: ${what}`);
    open.delete(socket);
    socket.destroy();
  }
}, 1000).unref();

/** @param {import("node:net").Socket} socket @param {string} fault @param {boolean} deaf */
function strike(socket, fault, deaf) {
  if (fault === "fin") socket.end();
  else if (fault === "rst") socket.resetAndDestroy();
  else if (deaf) {
    socket.pause();
    setTimeout(() => socket.resume(), STALL_MS);
  }
}

/** @param {number} ms @param {() => void} act */
const after = (ms, act) => void (ms > 0 ? setTimeout(act, ms) : act());

const send = (socket, text) => void socket.write(text, "latin1");

/** One accepted connection. */
class Peer {
  /** What came of the request that is being read. */
  #text = "";
  /** What reads the bytes instead, once the request has been taken. */
  #reader = undefined;
  #served = 0;
  #socket;

  /** @param {import("node:net").Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk) => this.#onData(chunk));
    socket.on("end", () => socket.end());
    socket.on("close", () => open.delete(socket));
  }

  #onData(chunk) {
    if (this.#reader) this.#reader(chunk);
    else this.#onRequest(chunk);
  }

  /** @param {Buffer} chunk */
  #onRequest(chunk) {
    this.#text += chunk.toString("latin1");
    const end = this.#text.indexOf("\r\n\r\n") + 4;
    if (end < 4) return;
    this.#served += 1;
    const head = this.#text.slice(0, end);
    const cell = cellOf(head.split(" ", 2)[1] ?? "");
    if (cell) this.#play(cell, end);
    else if (!/^host:/im.test(head)) this.#socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    else if (/^upgrade:/im.test(head)) this.#echo(head, end);
    else this.#answer(head, end);
  }

  #answer(head, end) {
    const [method, target] = head.split(" ", 2);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    if (this.#text.length < end + length) return;
    const body = this.#text.slice(end, end + length);
    this.#text = "";
    send(this.#socket, answerOf(method, target, body));
  }

  /** @param {NonNullable<ReturnType<typeof cellOf>>} cell @param {number} bodyAt */
  #play(cell, bodyAt) {
    const scene = SCENES[cell.scene];
    const waitsFor = cell.side === "upstream" && scene.after?.upstream ? undefined : scene.reads;
    if (waitsFor !== undefined && !this.#text.includes(waitsFor, bodyAt)) return;
    const socket = this.#socket;
    const { side, fault, delayMs } = cell;
    watch(socket, `${scene.moment}: ${side} ${fault}`);
    const own = side === "upstream";
    send(socket, partOf(scene.answers, side) ?? (own ? "" : (scene.signal ?? "")));
    if (scene.done) return this.#becomeIdle(own ? () => strike(socket, fault, false) : undefined, delayMs);
    const isTunnel = scene.to === "mux" && scene.answers !== undefined;
    // Whoever is not at fault answers pings.
    const frames = isTunnel && !own ? new Frames() : undefined;
    const begin = this.#text.slice(bodyAt);
    this.#text = "";
    let struck = false;
    const reach = () => {
      if (struck) return;
      struck = true;
      after(delayMs, () => strike(socket, fault, needsFlood(cell)));
    };
    let seen = begin;
    this.#reader = (chunk) => {
      if (frames)
        for (const reply of repliesTo(frames.push(chunk), { masked: false, echo: false })) socket.write(reply);
      if (!own || struck || !scene.after?.upstream) return;
      seen += chunk.toString("latin1");
      if (seen.includes("half a frame")) reach();
    };
    if (own && (!scene.after?.upstream || seen.includes("half a frame"))) reach();
    if (!own && needsFlood(cell)) {
      if (scene.chunked) socket.write(FLOOD_CHUNK);
      socket.write(FLOOD);
    }
  }

  /** The answer is complete; unless somebody asks again by then, the fault happens. */
  #becomeIdle(act, delayMs) {
    open.delete(this.#socket);
    this.#text = "";
    const served = this.#served;
    if (act) after(delayMs, () => this.#served === served && this.#text === "" && act());
  }

  /** A mux that echoes. */
  #echo(head, end) {
    const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? "";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    send(this.#socket, `${switching}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    const frames = new Frames();
    this.#reader = (chunk) => {
      for (const reply of repliesTo(frames.push(chunk), { masked: false, echo: true })) this.#socket.write(reply);
    };
    const early = this.#text.slice(end);
    if (early !== "") this.#reader(Buffer.from(early, "latin1"));
  }
}

const BIG = "0123456789abcdef".repeat(8192);

/** @param {string} method @param {string} target @param {string} body */
function answerOf(method, target, body) {
  const ok = (text) => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  if (method === "POST") return ok(body);
  if (!target.startsWith("/big")) return ok(target);
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n${BIG}\r\n0\r\n\r\n`;
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => void new Peer(socket));
server.listen({ port: Number(process.argv[2] ?? 0), host: "127.0.0.1", backlog: 4096 }, () => {
  process.send?.({ port: server.address().port });
});
process.on("message", (message) => {
  if (message === "report") process.send?.({ failures });
});
process.on("disconnect", () => process.exit());
