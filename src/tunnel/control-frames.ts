// Makes the frames that this proxy inserts into a tunnel: pings, and the Close that tells one end that the other is
// gone. Called by tunnel.ts; uses the `ws` package.

import { load } from "../core/packages.ts";
import { PING_PAYLOAD } from "./frames.ts";

const OPCODE_CLOSE = 0x8;
const OPCODE_PING = 0x9;

// The part of ws that is used here; its types leave it out.
interface Ws {
  Sender: {
    frame(
      payload: Buffer,
      options: { fin: boolean; opcode: number; mask: boolean; readOnly: boolean; rsv1: boolean },
    ): Buffer[];
  };
}

let ws: Ws | undefined;

/** Loads the ws package. Not at the top of this file, so that the proxy starts faster. */
export function loadFrames(): Ws {
  return (ws ??= load("ws") as Ws);
}

/** A control frame (RFC 6455 5.5). Masked if it goes to the upstream, whose client this proxy is. */
function controlFrame(opcode: number, payload: Buffer, mask: boolean): Buffer {
  // readOnly: otherwise ws masks the payload in place, and the pong could not be compared with it.
  return Buffer.concat(loadFrames().Sender.frame(payload, { fin: true, opcode, mask, readOnly: true, rsv1: false }));
}

let pingPayload: Buffer | undefined;
let pings = 0;

/** A unique payload: the tag of this process, and a number. */
export function nextPing(): Buffer {
  // Loaded here, as ws is: the proxy starts without.
  pingPayload ??= (load("node:crypto") as typeof import("node:crypto")).randomBytes(PING_PAYLOAD);
  pings = (pings + 1) >>> 0;
  pingPayload.writeUInt32BE(pings, PING_PAYLOAD - 4);
  return Buffer.from(pingPayload);
}

/** A ping with this payload. */
export function pingFrame(payload: Buffer, mask: boolean): Buffer {
  return controlFrame(OPCODE_PING, payload, mask);
}

/** A Close with this code (RFC 6455 7.4). */
export function closeFrame(code: number, mask: boolean): Buffer {
  return controlFrame(OPCODE_CLOSE, Buffer.from([code >> 8, code & 0xff]), mask);
}
