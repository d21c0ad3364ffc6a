// The fault table, third part: upgrades and what they open (test/kit/faults.ts).

import { test } from "vitest";
import { cells, SIDES } from "../kit/faults.ts";
import { forFile } from "../kit/lifetime.ts";
import { play } from "../kit/play.ts";
import { openStage } from "../kit/stage.ts";

const stage = forFile(openStage);

const MOMENTS = ["upgrade sent and 101 not yet", "after 101 while idle", "mid frame", "mid frame towards it"] as const;

for (const cell of cells(MOMENTS, SIDES, ["fin", "rst", "stall"])) {
  test(cell.title, { timeout: 60_000 }, () => play(stage(), cell));
}

test("the bystanders got every byte", async () => {
  for (const bystander of stage().bystanders) await bystander.finish();
});
