import fc from "fast-check";
import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { FrameFollower, PING_PAYLOAD } from "../../src/tunnel/frames.ts";
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  encode,
  frameHeader,
  PING,
  PONG,
  receive,
  TEXT,
  type Frame,
} from "../kit/wire.ts";

// -- what a peer may send ---------------------------------------------------------------------------------------------

const EDGES = [0, 1, 125, 126, 127, 65_535, 65_536];
const ours = (n: number): Buffer => Buffer.from([0xc0, 0xff, 0xee, 0x42, 0, 0, 0, n]);

/** Payloads are text that compresses badly enough, so that one pattern serves for all lengths. */
function filler(length: number, seed: number): Buffer {
  return Buffer.alloc(length, `${seed}abcdefghijklmnopqrstuvwxyz`.slice(0, 1 + (seed % 26)));
}

const length = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...EDGES) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 300 }) },
);
const seed = fc.integer({ min: 0, max: 999 });
const control: fc.Arbitrary<Frame> = fc.record({
  opcode: fc.constantFrom(PING, PONG),
  // Eight bytes are as long as a pong of ours.
  payload: fc
    .tuple(fc.oneof(fc.constantFrom(0, 8, 125), fc.integer({ min: 0, max: 125 })), seed)
    .map(([size, s]) => filler(size, s)),
});

/** A message in fragments, with control frames anywhere between and behind them. */
function message(deflate: boolean): fc.Arbitrary<Frame[]> {
  const parts = fc.array(fc.tuple(length, fc.array(control, { maxLength: 2 })), { minLength: 1, maxLength: 4 });
  return fc.tuple(fc.constantFrom(TEXT, BINARY), parts, seed, fc.boolean()).map(([opcode, pieces, s, compress]) => {
    let whole = Buffer.concat(pieces.map(([size]) => filler(size, s)));
    const compressed = deflate && compress;
    // RFC 7692 7.2.1: a message ends as a sync flush does, without its four last bytes.
    if (compressed) whole = deflateRawSync(whole, { finishFlush: 2 }).subarray(0, -4);
    const cuts = pieces.map(([size]) => size);
    return pieces.flatMap(([, controls], i): Frame[] => {
      const last = i === pieces.length - 1;
      const start = Math.min(
        whole.length,
        cuts.slice(0, i).reduce((a, b) => a + b, 0),
      );
      const payload = last ? whole.subarray(start) : whole.subarray(start, start + (cuts[i] ?? 0));
      const rsv = compressed && i === 0 ? 4 : 0;
      return [{ opcode: i === 0 ? opcode : CONTINUATION, fin: last, rsv, payload }, ...controls];
    });
  });
}

const ending: fc.Arbitrary<Frame[]> = fc.constantFrom<Frame[][]>(
  [],
  [{ opcode: CLOSE, payload: Buffer.from([0x03, 0xe8]) }],
);

interface Stream {
  masked: boolean;
  deflate: boolean;
  frames: Frame[];
}
const stream: fc.Arbitrary<Stream> = fc
  .tuple(fc.boolean(), fc.boolean())
  .chain(([masked, deflate]) =>
    fc
      .tuple(fc.array(message(deflate), { maxLength: 4 }), ending)
      .map(([messages, end]) => ({ masked, deflate, frames: [...messages.flat(), ...end] })),
  );

/** Cuts bytes at places near the interesting ones: sizes of 1 to 20, and large ones. */
const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 90_000 })), {
  minLength: 1,
  maxLength: 60,
});

function cut(bytes: Buffer, sizes: number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i += 1) {
    // The sizes are used over again, doubled in each round, or a long stream would be cut into a million pieces.
    const size = (sizes[i % sizes.length] ?? 1) * 2 ** Math.floor(i / sizes.length);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

const bytesOf = ({ frames, masked }: Stream): Buffer => Buffer.concat(frames.map((frame) => encode(frame, masked)));

// -- the properties ---------------------------------------------------------------------------------------------------

test("whatever is legal passes as the very chunks it came in, and every end of a frame is seen", () => {
  fc.assert(
    fc.property(stream, cuts, (sent, sizes) => {
      const follower = new FrameFollower(sent.masked, sent.deflate);
      const ends = new Set<number>();
      let end = 0;
      for (const frame of sent.frames) ends.add((end += encode(frame, sent.masked).length));
      let at = 0;
      for (const chunk of cut(bytesOf(sent), sizes)) {
        expect(follower.push(chunk)).toBe(chunk);
        const passed = [...ends].filter((one) => one > at && one <= at + chunk.length);
        expect(follower.boundary).toBe(passed.length === 0 ? -1 : Math.max(...passed) - at);
        at += chunk.length;
        expect(follower.betweenFrames).toBe(ends.has(at));
      }
      expect(follower.opaque).toBe(false);
      expect(follower.closed).toBe(sent.frames.at(-1)?.opcode === CLOSE);
    }),
    { numRuns: 150 },
  );
});

test.each([
  ["short messages and the beginning of a longer one", [5, 0, 125, 126]],
  ["short messages and the beginning of another", [5, 7, 125]],
])("%s: the last end of a frame in a chunk is found wherever the chunk is cut", (_, sizes) => {
  for (const masked of [false, true]) {
    const frames = sizes.map((size) => encode({ opcode: BINARY, payload: filler(size, 1) }, masked));
    const bytes = Buffer.concat(frames);
    const ends = frames.map((_frame, i) => Buffer.concat(frames.slice(0, i + 1)).length);
    for (let cutAt = 1; cutAt < bytes.length; cutAt += 1) {
      const follower = new FrameFollower(masked, false);
      follower.push(bytes.subarray(0, cutAt));
      expect(follower.boundary).toBe(ends.findLast((end) => end <= cutAt) ?? -1);
      follower.push(bytes.subarray(cutAt));
      expect(follower.boundary).toBe(bytes.length - cutAt);
    }
  }
});

test("with pings at any boundary it offers, the receiver gets the same messages, and our pings", async () => {
  await fc.assert(
    fc.asyncProperty(
      stream,
      cuts,
      fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
      async (sent, sizes, wants) => {
        const follower = new FrameFollower(sent.masked, sent.deflate);
        const out: Buffer[] = [];
        let pings = 0;
        const insert = (): void => {
          if (!follower.closed) out.push(encode({ opcode: PING, payload: ours((pings += 1)) }, sent.masked));
        };
        for (const [i, chunk] of cut(bytesOf(sent), sizes).entries()) {
          const wanted = wants[i % wants.length] === true;
          if (wanted && follower.betweenFrames) insert();
          const bytes = follower.push(chunk);
          if (!wanted || follower.boundary < 0) out.push(bytes);
          else {
            out.push(bytes.subarray(0, follower.boundary));
            insert();
            out.push(bytes.subarray(follower.boundary));
          }
        }
        const got = await receive(out, sent);
        const expected = await receive([bytesOf(sent)], sent);
        expect(expected.filter(({ kind }) => kind === "error")).toEqual([]);
        const isOurs = ({ kind, data }: { kind: string; data: string }): boolean =>
          kind === "ping" && data.startsWith(ours(0).toString("latin1", 0, 4));
        expect(got.filter((event) => !isOurs(event))).toEqual(expected);
        expect(got.filter(isOurs).length).toBe(pings);
      },
    ),
    { numRuns: 150 },
  );
}, 30_000);

test("our pongs are cut out, late ones too; foreign ones stay; no other byte ever waits", () => {
  const places = fc.array(fc.tuple(fc.nat(), fc.boolean()), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(stream, cuts, places, (sent, sizes, pongs) => {
      // The pongs of pings 1, 2, 3 come in this order, at any place before the Close. Ping 3 is the one expected.
      const open = sent.frames.filter(({ opcode }) => opcode !== CLOSE);
      const at = pongs.map(([place]) => place % (open.length + 1)).sort((a, b) => a - b);
      const first = 4 - at.length;
      const mixed = sent.frames.flatMap((frame, i) => [...pongsAt(i), frame]);
      function pongsAt(i: number): Frame[] {
        return at.flatMap((place, n) => (place === i ? [{ opcode: PONG, payload: ours(first + n) }] : []));
      }
      if (at.includes(sent.frames.length)) mixed.push(...pongsAt(sent.frames.length));
      const follower = new FrameFollower(sent.masked, sent.deflate);
      let answers = 0;
      follower.expectPong(ours(3), () => (answers += 1));
      const without = bytesOf(sent);
      const out: Buffer[] = [];
      let passed = 0;
      const all = bytesOf({ ...sent, frames: mixed });
      const longest = (sent.masked ? 6 : 2) + PING_PAYLOAD;
      let came = 0;
      for (const chunk of cut(all, sizes)) {
        const bytes = follower.push(chunk);
        came += chunk.length;
        passed += bytes.length;
        out.push(bytes);
        // Kept back: less than one pong. Cut out: three at most.
        expect(came - passed).toBeLessThan(longest * (at.length + 1));
        if (follower.boundary >= 0) expect(follower.boundary).toBeLessThanOrEqual(bytes.length);
      }
      expect(Buffer.concat(out).equals(without)).toBe(true);
      expect(answers).toBe(1);
      expect(follower.betweenFrames).toBe(true);
    }),
    { numRuns: 150 },
  );
});

test("garbage is relayed byte for byte, whether or not a pong is awaited", () => {
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    // Near misses: beginnings of frames, of pongs above all.
    fc
      .array(fc.constantFrom(0x8a, 0x88, 0x08, 0x80, 0x81, 0x7e, 0xff, 0x00), { maxLength: 400 })
      .map((a) => Buffer.from(a)),
  );
  fc.assert(
    fc.property(stream, garbage, cuts, fc.boolean(), (sent, rubbish, sizes, awaited) => {
      const follower = new FrameFollower(sent.masked, sent.deflate);
      if (awaited) follower.expectPong(ours(1), () => expect.unreachable());
      const all = Buffer.concat([bytesOf(sent), rubbish]);
      const out = Buffer.concat(cut(all, sizes).map((chunk) => follower.push(chunk)));
      // What looks like half of our pong may still be kept.
      const kept = all.length - out.length;
      expect(kept).toBeLessThan((sent.masked ? 6 : 2) + PING_PAYLOAD);
      expect(out.equals(all.subarray(0, out.length))).toBe(true);
      if (kept > 0) expect([awaited, all[out.length]]).toEqual([true, 0x8a]);
    }),
    { numRuns: 300 },
  );
});

// -- single facts -----------------------------------------------------------------------------------------------------

test("a frame of 2^32 bytes is followed to its end without counting wrong", () => {
  const size = 2 ** 32;
  const follower = new FrameFollower(false, false);
  follower.push(frameHeader({ opcode: BINARY }, size, false));
  const chunk = Buffer.alloc(1 << 20);
  for (let i = 0; i < size / chunk.length - 1; i += 1) follower.push(chunk);
  expect([follower.betweenFrames, follower.boundary]).toEqual([false, -1]);
  follower.push(chunk.subarray(1));
  expect(follower.betweenFrames).toBe(false);
  follower.push(Buffer.concat([Buffer.alloc(1), encode({ opcode: TEXT, payload: Buffer.from("x") }, false)]));
  expect([follower.betweenFrames, follower.boundary, follower.opaque]).toEqual([true, 4, false]);
});

describe("what breaks RFC 6455 makes the stream opaque", () => {
  const text = (masked: boolean, more: Partial<Frame> = {}): Buffer =>
    encode({ opcode: TEXT, payload: Buffer.from("hi"), ...more }, masked);
  const huge = frameHeader({ opcode: BINARY }, 65_536, false);
  huge[3] = 0x40;
  test.each<[string, boolean, Buffer[]]>([
    ["a client's frame without a mask", true, [text(false)]],
    ["a server's frame with a mask", false, [text(true)]],
    ["a reserved bit without an extension", false, [text(false, { rsv: 4 })]],
    ["a reserved opcode", false, [text(false, { opcode: 3 })]],
    ["a reserved control opcode", false, [text(false, { opcode: 0xb })]],
    ["a control frame of more than 125 bytes", false, [encode({ opcode: PING, payload: Buffer.alloc(126) }, false)]],
    ["a control frame in fragments", false, [encode({ opcode: PING, payload: Buffer.alloc(1), fin: false }, false)]],
    ["a continuation of nothing", false, [text(false, { opcode: CONTINUATION })]],
    ["a message inside a fragmented one", false, [text(false, { fin: false }), text(false)]],
    ["16 bits for a length below 126", false, [Buffer.from([0x82, 126, 0, 125])]],
    ["64 bits for a length below 65536", false, [Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff])]],
    ["a length that cannot be counted", false, [huge]],
  ])("%s", (_what, masked, frames) => {
    const follower = new FrameFollower(masked, false);
    const bytes = Buffer.concat(frames);
    expect(follower.push(bytes)).toBe(bytes);
    expect([follower.opaque, follower.betweenFrames, follower.boundary]).toEqual([true, false, -1]);
    const more = text(masked);
    expect(follower.push(more)).toBe(more);
    expect(follower.betweenFrames).toBe(false);
  });
});

test("a pong of another length does not wait for its end, one of ours does", () => {
  const follower = new FrameFollower(false, false);
  follower.expectPong(ours(1), () => {});
  expect(follower.push(Buffer.from([0x8a]))).toHaveLength(0);
  expect(follower.push(Buffer.from([0x05]))).toEqual(Buffer.from([0x8a, 0x05]));
  expect(follower.push(Buffer.from("hello"))).toEqual(Buffer.from("hello"));
  const pong = encode({ opcode: PONG, payload: ours(1) }, false);
  expect(follower.push(pong.subarray(0, 7))).toHaveLength(0);
  expect(follower.betweenFrames).toBe(true);
  expect(follower.push(pong.subarray(7))).toHaveLength(0);
  expect(follower.push(pong)).toBe(pong);
});
