// The short run of `npm run schedules`: some thousand generated schedules, in which nobody may find anything wrong.

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { run } from "../kit/command.ts";

const SCHEDULES = fileURLToPath(new URL("../schedules/run.mjs", import.meta.url));
const COUNT = 4000;
const SECONDS = 45;

test(
  `up to ${COUNT} schedules in ${SECONDS} s: everybody who took part is judged, and nothing is found`,
  { timeout: 120_000 },
  async () => {
    const args = [SCHEDULES, "--count", String(COUNT), "--seconds", String(SECONDS), "--seed", "1"];
    const { code, stdout, stderr } = await run(process.execPath, args, { env: process.env }, 110_000);
    expect(stderr).toBe("");
    expect(code, stdout).toBe(0);
    const played = Number(/^(\d+) schedules in /m.exec(stdout)?.[1]);
    expect(played).toBeGreaterThan(COUNT / 20);
  },
);

const KEPT = fileURLToPath(new URL("../schedules/kept", import.meta.url));

test.each(readdirSync(KEPT))("%s, in which something was found once", { timeout: 60_000 }, async (name) => {
  const args = [SCHEDULES, "--replay", `${KEPT}/${name}`, "--times", "5"];
  const { code, stdout } = await run(process.execPath, args, { env: process.env }, 50_000);
  expect(stdout).toContain("0 of 5 plays failed");
  expect(code).toBe(0);
});
