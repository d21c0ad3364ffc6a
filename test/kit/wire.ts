// WebSocket frames by the byte: made from their parts, and taken apart again by ws' own Receiver.

import * as ws from "ws";

export const CONTINUATION = 0x0;
export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

/** One frame. */
export interface Frame {
  opcode: number;
  payload: Buffer;
  /** The last, or only, frame of its message; true if left out. */
  fin?: boolean;
  /** The three reserved bits, 0 to 7; 4 is RSV1. */
  rsv?: number;
}

/** The key that masks every frame made here. */
const MASK = Buffer.from([0x1f, 0xe2, 0x03, 0xc4]);

/** The header of a frame with `length` bytes of payload; masked as a client's. */
export function frameHeader(frame: Omit<Frame, "payload">, length: number, masked: boolean): Buffer {
  const first = (frame.fin === false ? 0 : 0x80) | ((frame.rsv ?? 0) << 4) | frame.opcode;
  const size = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const header = Buffer.alloc(2 + size);
  header[0] = first;
  header[1] = (masked ? 0x80 : 0) | (size === 0 ? length : size === 2 ? 126 : 127);
  if (size === 2) header.writeUInt16BE(length, 2);
  if (size === 8) header.writeBigUInt64BE(BigInt(length), 2);
  return masked ? Buffer.concat([header, MASK]) : header;
}

/** The bytes of a frame. */
export function encode(frame: Frame, masked: boolean): Buffer {
  const payload = Buffer.from(frame.payload);
  if (masked) for (let i = 0; i < payload.length; i += 1) payload[i] = (payload[i] ?? 0) ^ (MASK[i % 4] ?? 0);
  return Buffer.concat([frameHeader(frame, payload.length, masked), payload]);
}

/** A Close as its receiver sees it. */
export function close(code: number, masked: boolean): Buffer {
  return encode({ opcode: CLOSE, payload: Buffer.from([code >> 8, code & 0xff]) }, masked);
}

/** What a receiver made of a stream. */
export interface Received {
  kind: "message" | "ping" | "pong" | "close" | "error";
  /** Of a message, ping or pong; the code of a Close; the message of an error. */
  data: string;
}

interface ReceiverLike extends NodeJS.WritableStream {
  on(event: string, listener: (...args: never[]) => void): this;
}
const { Receiver, PerMessageDeflate } = ws as unknown as {
  Receiver: new (options: object) => ReceiverLike;
  PerMessageDeflate: {
    extensionName: string;
    new (options: object, isServer?: boolean): { accept(p: object[]): void };
  };
};

/** Reads a stream with ws' own Receiver. */
export async function receive(chunks: Buffer[], options: { masked: boolean; deflate?: boolean }): Promise<Received[]> {
  const events: Received[] = [];
  const deflate = new PerMessageDeflate({ isServer: options.masked }, options.masked);
  deflate.accept([{}]);
  const extensions = options.deflate ? { [PerMessageDeflate.extensionName]: deflate } : {};
  const receiver = new Receiver({ isServer: options.masked, extensions, binaryType: "nodebuffer" });
  const note = (kind: Received["kind"], data: string): void => void events.push({ kind, data });
  receiver.on("message", (data: Buffer) => note("message", data.toString("latin1")));
  receiver.on("ping", (data: Buffer) => note("ping", data.toString("latin1")));
  receiver.on("pong", (data: Buffer) => note("pong", data.toString("latin1")));
  receiver.on("conclude", (code: number) => note("close", String(code)));
  await new Promise<void>((resolve) => {
    receiver.on("error", (error: Error) => {
      note("error", error.message);
      resolve();
    });
    receiver.on("finish", resolve);
    for (const chunk of chunks) if (chunk.length > 0) receiver.write(chunk);
    receiver.end();
  });
  return events;
}
