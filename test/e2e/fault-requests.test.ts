// The fault table, first part: until the request has been sent (test/kit/faults.ts).

import { test } from "vitest";
import { cells, SIDES } from "../kit/faults.ts";
import { forFile } from "../kit/lifetime.ts";
import { play } from "../kit/play.ts";
import { openStage } from "../kit/stage.ts";

const stage = forFile(openStage);

const MOMENTS = [
  "connected but silent",
  "mid head",
  "held while its upstream is away",
  "mid request body (length)",
  "mid request body (chunked)",
  "waiting for the answer",
] as const;

for (const cell of cells(MOMENTS, SIDES, ["fin", "rst", "stall"])) {
  test(cell.title, { timeout: 60_000 }, () => play(stage(), cell));
}

test("the bystanders got every byte", async () => {
  for (const bystander of stage().bystanders) await bystander.finish();
});
