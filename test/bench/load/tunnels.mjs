// WebSockets as raw sockets: masked frames made once, replies counted in bytes. Each tunnel sends a burst of frames,
// and the next one when all of them came back; or nothing at all, to be idle.

import { dial, Latencies, several, within } from "./connection.mjs";

const HANDSHAKE = [
  "GET /ao-terminal-mux HTTP/1.1",
  "Host: 127.0.0.1",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "\r\n",
].join("\r\n");
const LAST_ECHO_MS = 3000;

/** A masked binary frame. @param {number} size */
function frame(size) {
  const extended = size > 125 ? 2 : 0;
  const bytes = Buffer.alloc(2 + extended + 4 + size, "c");
  bytes[0] = 0x82;
  bytes[1] = 0x80 | (extended ? 126 : size);
  if (extended) bytes.writeUInt16BE(size, 2);
  return bytes;
}

class Client {
  /** @type {import("node:net").Socket} */
  socket;
  open = false;
  lost = false;
  missing = 0;
  sent = 0;
  #head = "";
  /** @type {() => void} */
  #ready;
  /** @type {(client: Client) => void} */
  #echoed;

  /** @param {number} port @param {() => void} ready @param {(client: Client) => void} echoed */
  constructor(port, ready, echoed) {
    this.#ready = ready;
    this.#echoed = echoed;
    this.socket = dial(port, this);
    this.socket.write(HANDSHAKE, "latin1");
  }

  /** @param {Buffer} bytes */
  onBytes(bytes) {
    if (!this.open) {
      this.#head += bytes.toString("latin1");
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.open = this.#head.startsWith("HTTP/1.1 101");
      if (!this.open) return void this.socket.destroy();
      return this.#ready();
    }
    if (this.missing === 0) return;
    this.missing -= bytes.length;
    if (this.missing <= 0) {
      this.missing = 0;
      this.#echoed(this);
    }
  }

  onEnd() {
    this.lost = true;
    this.#ready();
  }
}

/**
 * @param {number} port
 * @param {{ connections: number, active?: number, size?: number, burst?: number }} options no size: idle; so many
 *   wait for an echo at a time (all, if not told)
 */
export async function tunnels(port, { connections, active = connections, size, burst = 1 }) {
  /** @type {Client[]} */
  const clients = [];
  let units = 0;
  let running = false;
  let busy = 0;
  let next = active;
  let latencies = new Latencies();
  /** @type {() => void} */
  let idle = () => {};
  const one = frame(size ?? 0);
  const message = Buffer.concat(Array.from({ length: burst }, () => one));
  // What comes back is not masked.
  const reply = burst * (one.length - 4);
  const send = (/** @type {Client} */ client) => {
    client.missing = reply;
    client.sent = performance.now();
    client.socket.write(message);
  };
  const echoed = (/** @type {Client} */ client) => {
    latencies.record(client.sent);
    units += burst;
    // All take turns, the one that was just answered last.
    const another = active < connections ? clients[next++ % connections] : client;
    if (running && another && !another.lost && another.missing === 0) return send(another);
    busy -= 1;
    if (busy === 0) idle();
  };
  await several(
    connections,
    () =>
      new Promise((resolve) => {
        clients.push(new Client(port, () => resolve(undefined), echoed));
      }),
  );
  const open = clients.filter((client) => client.open && !client.lost);
  if (open.length < connections) throw new Error(`${connections - open.length} of ${connections} tunnels were refused`);

  return {
    async measure(/** @type {number} */ ms) {
      units = 0;
      latencies = new Latencies();
      if (size === undefined) {
        await new Promise((resolve) => setTimeout(resolve, ms));
        return latencies.sample(connections * (ms / 1000), clients.filter((client) => client.lost).length);
      }
      const ended = new Promise((resolve) => (idle = () => resolve(undefined)));
      running = true;
      busy = active;
      next = active;
      for (const client of clients.slice(0, active)) send(client);
      await new Promise((resolve) => setTimeout(resolve, ms));
      running = false;
      await within(ended, "hear the last echoes", LAST_ECHO_MS).catch(() => {});
      return latencies.sample(units, busy);
    },
    close() {
      for (const { socket } of clients) socket.destroy();
    },
  };
}
