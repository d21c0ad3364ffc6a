// Any bytes at all as one direction of a tunnel, cut anywhere: judged by a reader that has the whole stream at once,
// and by ws' Receiver.

import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameFollower } from "../../src/tunnel/frames.ts";
import { cutAt, patience, places, tryOut } from "../kit/fuzz.ts";
import { encode, receive } from "../kit/wire.ts";

/** What a whole stream is, by RFC 6455 5.2 to 5.5. */
interface Read {
  /** Where frames end. */
  ends: number[];
  /** Where it broke off being frames: no byte from here on can be read. */
  brokenAt: number | undefined;
  closed: boolean;
}

/** The length of a frame's header and payload, its payload's length and whether it is legal; undefined if it is cut. */
function readFrame(bytes: Buffer, at: number, masked: boolean): { end: number; length: number } | "broken" | undefined {
  const second = bytes[at + 1];
  if (second === undefined) return undefined;
  if (second > 127 !== masked) return "broken";
  const short = second % 128;
  const size = short === 126 ? 2 : short === 127 ? 8 : 0;
  const start = at + 2 + size + (masked ? 4 : 0);
  if (bytes.length < start) return undefined;
  const length = size === 0 ? short : size === 2 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
  if (size > 0 && length < (size === 2 ? 126 : 65_536)) return "broken";
  return length > Number.MAX_SAFE_INTEGER ? "broken" : { end: start + length, length };
}

function readWhole(bytes: Buffer, masked: boolean, extensions: boolean): Read {
  const read: Read = { ends: [], brokenAt: undefined, closed: false };
  let fragmented = false;
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at] ?? 0;
    const [final, rsv, opcode] = [first > 127, (first >> 4) & 7, first & 15];
    const frame = readFrame(bytes, at, masked);
    // Nobody can judge a frame by its first byte: what may follow it depends on the second.
    if (bytes.length < at + 2) return read;
    const short = (bytes[at + 1] ?? 0) % 128;
    const legal =
      (rsv === 0 || extensions) &&
      (opcode >= 8 ? opcode <= 10 && final && short <= 125 : opcode <= 2 && (opcode === 0) === fragmented);
    if (!legal || frame === "broken") return { ...read, brokenAt: at };
    if (!frame) return read;
    if (opcode < 8) fragmented = !final;
    // A Close counts as soon as its header is there: nothing of ours may follow it.
    if (opcode === 8) read.closed = true;
    if (frame.end <= bytes.length) read.ends.push(frame.end);
    at = frame.end;
  }
  return read;
}

const frame = fc
  .record({
    opcode: fc.constantFrom(0, 1, 2, 8, 9, 10, 3, 15),
    fin: fc.boolean(),
    rsv: fc.constantFrom(0, 0, 0, 0, 4, 1),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 130 }),
      fc.constantFrom(125, 126, 127, 300).map((n) => new Uint8Array(n)),
    ),
    masked: fc.boolean(),
  })
  .map(({ payload, masked, ...rest }) => encode({ ...rest, payload: Buffer.from(payload) }, masked));

/** Frames that mostly are legal for the direction, then any bytes. */
function stream(masked: boolean): fc.Arbitrary<Buffer> {
  const legal = fc
    .record({ opcode: fc.constantFrom(1, 2, 8, 9, 10), payload: fc.uint8Array({ maxLength: 125 }) })
    .map(({ opcode, payload }) => encode({ opcode, payload: Buffer.from(payload) }, masked));
  const any = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes));
  const pieces = fc.array(
    fc.oneof({ weight: 6, arbitrary: legal }, { weight: 1, arbitrary: frame }, { weight: 1, arbitrary: any }),
    { maxLength: 8 },
  );
  return pieces.map((all) => Buffer.concat(all));
}

const direction = fc.boolean().chain((masked) => fc.tuple(fc.constant(masked), stream(masked), places));

test("any bytes, cut anywhere, are followed as one who has them all reads them", { timeout: patience() }, async () => {
  await tryOut(
    fc.property(direction, fc.boolean(), ([masked, bytes, cuts], extensions) => {
      const follower = new FrameFollower(masked, extensions);
      const wanted = readWhole(bytes, masked, extensions);
      let at = 0;
      for (const chunk of cutAt(bytes, cuts)) {
        expect(follower.push(chunk)).toBe(chunk);
        const before = at;
        at += chunk.length;
        const inChunk = wanted.ends.findLast((end) => end > before && end <= at);
        const here = readWhole(bytes.subarray(0, at), masked, extensions);
        expect(follower.opaque).toBe(here.brokenAt !== undefined);
        if (!follower.opaque) expect(follower.boundary).toBe(inChunk === undefined ? -1 : inChunk - before);
        expect(follower.betweenFrames).toBe(!follower.opaque && (at === 0 || here.ends.includes(at)));
      }
      expect(follower.opaque).toBe(wanted.brokenAt !== undefined);
      expect(follower.closed).toBe(wanted.closed);
    }),
  );
});

// What ws refuses and a follower of headers does not look at: contents, and how much of them.
const CONTENTS = /UTF-8|status code|Max payload|payload length 1$|Unsupported WebSocket frame/;

test(
  "ws agrees: what it can read is no opaque stream, and what it cannot read is one",
  { timeout: patience() },
  async () => {
    await tryOut(
      fc.asyncProperty(direction, async ([masked, bytes, cuts]) => {
        const follower = new FrameFollower(masked, false);
        for (const chunk of cutAt(bytes, cuts)) follower.push(chunk);
        const { ends, closed } = readWhole(bytes, masked, false);
        const events = await receive([bytes], { masked });
        const error = events.find(({ kind }) => kind === "error")?.data;
        // It looks at nothing behind a Close, nor we at the shortest encoding of lengths that it lets pass.
        if (closed || (error !== undefined && CONTENTS.test(error))) return;
        if (error !== undefined) expect(follower.opaque, error).toBe(true);
        else if (follower.opaque) expect(isLongWinded(bytes, ends.at(-1) ?? 0)).toBe(true);
      }),
    );
  },
);

/** Is the frame at this place one whose length is written in more bytes than it needs, or one longer than counts go? */
function isLongWinded(bytes: Buffer, at: number): boolean {
  return ((bytes[at + 1] ?? 0) & 0x7f) >= 126;
}

test("pongs of ours are cut out wherever they stand, and nothing else is", { timeout: patience() }, async () => {
  const ping = Buffer.from([0xc0, 0xff, 0xee, 0x42, 0, 0, 0, 1]);
  const pieces = fc.boolean().chain((masked) => {
    const other = fc
      .record({
        opcode: fc.constantFrom(1, 2, 9, 10),
        payload: fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.constant(ping.subarray(0, 3))),
      })
      .filter(
        ({ opcode, payload }) =>
          opcode !== 10 || !(payload.length === 8 && Buffer.from(payload).subarray(0, 4).equals(ping.subarray(0, 4))),
      )
      .map(({ opcode, payload }) => encode({ opcode, payload: Buffer.from(payload) }, masked));
    return fc.tuple(fc.constant(masked), fc.array(other, { maxLength: 4 }), fc.array(other, { maxLength: 4 }), places);
  });
  await tryOut(
    fc.property(pieces, ([masked, before, behind, cuts]) => {
      const follower = new FrameFollower(masked, false);
      let pongs = 0;
      follower.expectPong(ping, () => (pongs += 1));
      const pong = encode({ opcode: 10, payload: ping }, masked);
      const chunks = cutAt(Buffer.concat([...before, pong, ...behind]), cuts);
      const out = Buffer.concat(chunks.map((chunk) => Buffer.from(follower.push(chunk))));
      expect(out).toEqual(Buffer.concat([...before, ...behind]));
      expect([pongs, follower.opaque, follower.betweenFrames]).toEqual([1, false, true]);
    }),
  );
});
