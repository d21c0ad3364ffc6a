// Looks for a smaller schedule with the same finding. Called by worker.ts.

import type fc from "fast-check";
import { schedules } from "./generate.ts";
import type { Schedule } from "./schedule.ts";
import type { Found } from "./worker.ts";

const TRIES = 300;
const LONGEST_MS = 15_000;

/** What kind of finding it is, whoever it is about: a smaller schedule has to show the same. */
function kindOf(findings: string[]): string {
  return (findings[0] ?? "").replaceAll(/[0-9a-z]+\.\d\.\d|\d+|"[^"]*"/g, "_");
}

/** The smallest schedule that could be found in a while, and its findings. */
export async function shrink(
  failed: fc.Value<Schedule>,
  found: string[],
  play: (schedule: Schedule) => Promise<Found>,
): Promise<{ schedule: Schedule; findings: string[] }> {
  let [best, findings] = [failed, found];
  let tries = TRIES;
  const deadline = performance.now() + LONGEST_MS;
  for (let smaller = true; smaller;) {
    smaller = false;
    for (const next of schedules.shrink(best.value, best.context)) {
      if ((tries -= 1) <= 0 || performance.now() > deadline) break;
      const now = await play(next.value);
      if (now.findings.length === 0 || now.late || kindOf(now.findings) !== kindOf(findings)) continue;
      [best, findings] = [next, now.findings];
      smaller = true;
      break;
    }
  }
  return { schedule: best.value, findings };
}
