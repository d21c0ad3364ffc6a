// The fault table, second part: while an answer comes, and after it (test/kit/faults.ts).

import { test } from "vitest";
import { cells, SIDES } from "../kit/faults.ts";
import { forFile } from "../kit/lifetime.ts";
import { play } from "../kit/play.ts";
import { openStage } from "../kit/stage.ts";

const stage = forFile(openStage);

const MOMENTS = [
  "mid response body (length)",
  "mid response body (chunked)",
  "mid response body (close-delimited)",
  "mid response body (close-delimited, HTTP/1.0 client)",
  "idle keep-alive",
  "mid SSE while silent",
] as const;

for (const cell of cells(MOMENTS, SIDES, ["fin", "rst", "stall"])) {
  test(cell.title, { timeout: 60_000 }, () => play(stage(), cell));
}

test("the bystanders got every byte", async () => {
  for (const bystander of stage().bystanders) await bystander.finish();
});
