// What the follower costs: measured in a process of its own, whose young generation is too large to be collected.

import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { NODE } from "../kit/daemon.ts";

const FOLLOWER = new URL("../../dist/tunnel/frames.js", import.meta.url).href;

/** Follows a million chunks and prints the bytes that were allocated per chunk. */
function bytesPerPush(setup: string): number {
  const script = `
    import { FrameFollower } from "${FOLLOWER}";
    const follower = new FrameFollower(false, false);
    // 16 KiB of frames of 0 to 200 bytes, and one of 20,000, cut into chunks that fit no frame.
    const frames = [];
    for (let n = 0; n < 120; n += 1) {
      const size = n < 126 ? n : 125;
      frames.push(Buffer.concat([Buffer.from([0x82, size]), Buffer.alloc(size)]));
    }
    frames.push(Buffer.concat([Buffer.from([0x82, 126, 0x4e, 0x20]), Buffer.alloc(20000)]));
    const bytes = Buffer.concat(frames);
    const chunks = [];
    for (let at = 0; at < bytes.length; at += 97) chunks.push(bytes.subarray(at, at + 97));
    ${setup}
    let passed = 0;
    const round = (pushes) => {
      for (let n = 0; n < pushes; n += 1) passed += follower.push(chunks[n % chunks.length]).length;
    };
    const whole = chunks.length * 2000;
    round(whole);
    gc();
    const before = process.memoryUsage().heapUsed;
    round(whole);
    const grown = process.memoryUsage().heapUsed - before;
    if (follower.opaque || passed === 0) throw new Error("it did not follow");
    console.log(grown / whole);
  `;
  const flags = ["--expose-gc", "--max-semi-space-size=128", "--min-semi-space-size=128", "--input-type=module"];
  return Number(execFileSync(NODE, [...flags, "-e", script], { encoding: "utf8" }));
}

test("following a chunk allocates nothing", () => {
  // Half a million pushes; the smallest object there is would be 12 bytes each.
  expect(bytesPerPush("")).toBeLessThan(1);
});
