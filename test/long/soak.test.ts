// The short soak: some thousand faults of the same storm as `npm run soak` plays a million of.

import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { run } from "../kit/command.ts";
import { NODE } from "../kit/daemon.ts";
import { SIDES, TABLE, type Expected, type LeftOut, type MomentName } from "../kit/faults.ts";
import { SCENES, type Scene } from "../soak/scenes.mjs";
import { afterWarmUp, floorsOf, slopeOf } from "../soak/trend.mjs";

const SOAK = fileURLToPath(new URL("../soak/run.mjs", import.meta.url));
const FAULTS = 20_000;
const SECONDS = 45;

test.skipIf(process.platform !== "linux")(
  `up to ${FAULTS} faults at random, in ${SECONDS} s at most: nobody beside them notices, nothing is left`,
  { timeout: 120_000 },
  async () => {
    const args = [SOAK, "--faults", String(FAULTS), "--seconds", String(SECONDS), "--at-once", "300"];
    const { code, stdout, stderr } = await run(process.execPath, args, { env: soakEnv() }, 115_000);
    expect(stderr).toBe("");
    // It says the seed with which it can be had again.
    expect(stdout).toMatch(/^seed \d+: /);
    expect(stdout).toMatch(/^passed$/m);
    expect(code, stdout).toBe(0);
    const played = Number(/^(\d+) faults in /m.exec(stdout)?.[1]);
    expect(played).toBeGreaterThan(FAULTS / 20);
  },
);

function soakEnv(): NodeJS.ProcessEnv {
  return { ...process.env, SINGLE_PORT_TEST_NODE: NODE };
}

describe("the soak plays the fault table", () => {
  test("every moment of it", () => {
    expect(SCENES.map(({ moment }) => moment)).toEqual(Object.keys(TABLE));
  });

  test.each(SCENES.map((scene) => [scene.moment, scene] as const))(
    "%s: the same cells, the same status",
    (name, scene) => {
      expect(scene.status).toEqual(wanted(name as MomentName, scene));
    },
  );
});

/** What the table says of a moment, as the soak's table would: a status, or null where there is no exchange. */
function wanted(name: MomentName, scene: Scene): unknown {
  const status: Record<string, Record<string, number | null>> = {};
  for (const side of SIDES) {
    for (const fault of ["fin", "rst", "stall"] as const) {
      const cell: Expected | LeftOut = TABLE[name][side][fault];
      if ("leftOut" in cell) continue;
      (status[side] ??= {})[fault] = cell.log ? cell.status : scene.done ? 200 : null;
    }
  }
  return status;
}

test("a line through the measurements: flat, growing, and growing under the teeth of a heap", () => {
  const seconds = Array.from({ length: 100 }, (_, at) => at);
  const noisy = seconds.map((at) => ({ at, value: 50 + (at % 7) }));
  expect(Math.abs(slopeOf(noisy))).toBeLessThan(0.05);
  expect(slopeOf(seconds.map((at) => ({ at, value: 3 * at })))).toBeCloseTo(3);
  const teeth = seconds.map((at) => ({ at, value: at + (at % 5) * 1000 }));
  expect(slopeOf(floorsOf(teeth, 5))).toBeCloseTo(1);
  expect(afterWarmUp(seconds)[0]).toBe(30);
});
