// A screen for VNC viewers (RFB 3.8, RFC 6143, without a password): 64x64 of one colour, blue at first. The keys r, g
// and b choose it. Prints each key that goes down.

import { createServer } from "node:net";

const SIZE = 64;
/** Red, green and blue by keysym. @type {Record<number, [number, number, number]>} */
const COLOURS = { 0x72: [255, 0, 0], 0x67: [0, 255, 0], 0x62: [0, 0, 255] };

let colour = COLOURS[0x62] ?? [0, 0, 0];
/** Shows the screen to a viewer that waits for a change. @type {Set<() => void>} */
const viewers = new Set();

/** How long a viewer's message is; more than there is while its own length has not come. @param {Buffer} bytes */
function lengthOf(bytes) {
  const [type = 0] = bytes;
  const fixed = { 0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8 }[type];
  if (fixed === undefined) throw new Error(`message ${type} is none of RFC 6143`);
  if (bytes.length < fixed) return fixed;
  if (type === 2) return fixed + 4 * bytes.readUInt16BE(2);
  return type === 6 ? fixed + bytes.readUInt32BE(4) : fixed;
}

/** ServerInit: 32 bits a pixel, 24 of them of true colour, little endian. */
function serverInit() {
  const format = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
  const name = Buffer.from("screen");
  return Buffer.from([0, SIZE, 0, SIZE, ...format, 0, 0, 0, name.length, ...name]);
}

/** FramebufferUpdate: one raw rectangle, the whole screen. @param {number[]} shifts */
function update(shifts) {
  // The bits that are no colour are set: noVNC 1.3 takes them for how opaque the pixel is.
  const pixel = colour.reduce((rest, value, at) => rest - (255 - value) * 2 ** (shifts[at] ?? 0), 0xffffffff);
  const pixels = Buffer.alloc(SIZE * SIZE * 4);
  for (let at = 0; at < pixels.length; at += 4) pixels.writeUInt32LE(pixel, at);
  return Buffer.concat([Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, SIZE, 0, SIZE, 0, 0, 0, 0]), pixels]);
}

/** Acts on the whole messages of a viewer. @param {import("node:net").Socket} socket */
function session(socket) {
  let shifts = [16, 8, 0];
  const show = () => {
    viewers.delete(show);
    socket.write(update(shifts));
  };
  socket.on("close", () => viewers.delete(show));
  /** @param {Buffer} message */
  return (message) => {
    const [type, incremental] = message;
    if (type === 0) shifts = [...message.subarray(14, 17)];
    if (type === 3 && incremental === 0) show();
    else if (type === 3) viewers.add(show);
    if (type !== 4 || message[1] === 0) return;
    const key = message.readUInt32BE(4);
    console.log(`down ${key}`);
    colour = COLOURS[key] ?? colour;
    for (const shown of viewers) shown();
  };
}

const server = createServer((socket) => {
  const act = session(socket);
  // ProtocolVersion, the one security type (None) and its result, ServerInit: each answers so many bytes.
  const greeting = [
    { takes: 12, answer: Buffer.from([1, 1]) },
    { takes: 1, answer: Buffer.from([0, 0, 0, 0]) },
    { takes: 1, answer: serverInit() },
  ];
  let bytes = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (/** @type {Buffer} */ some) => {
    bytes = Buffer.concat([bytes, some]);
    while (bytes.length > 0) {
      const length = greeting[0]?.takes ?? lengthOf(bytes);
      if (bytes.length < length) return;
      const step = greeting.shift();
      if (step === undefined) act(bytes.subarray(0, length));
      else socket.write(step.answer);
      bytes = bytes.subarray(length);
    }
  });
  socket.write("RFB 003.008\n");
});
server.listen(0, "127.0.0.1", () => {
  console.log(`port ${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`);
});
