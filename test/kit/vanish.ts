// The cells in which a side vanishes, played all at once: each moment is reached, then the cable is cut.

import { expect, test } from "vitest";
import { cells, MOMENTS, type Cell, type Side } from "./faults.ts";
import { forFile } from "./lifetime.ts";
import { scriptOf } from "./moments.ts";
import { noNetwork } from "./network.ts";
import { checkDaemon, checkLog, checkOther, checkSockets, reach, strike } from "./play.ts";
import { openVanishingStage, type Stage } from "./stage.ts";

/** A stage on which everything has happened, and what became of each cell. */
interface Played {
  stage: Stage;
  outcomes: Map<Cell, Promise<unknown>>;
}

async function playAll(side: Side, all: Cell[]): Promise<Played> {
  const stage = await openVanishingStage(side);
  const since = stage.daemon.log.length;
  const scenes = [];
  // Whatever came after an exchange that is over would be asked for on its idle connection.
  const isOver = (cell: Cell): number => Number(scriptOf(cell.moment, side).done ?? false);
  for (const cell of all.toSorted((a, b) => isOver(a) - isOver(b))) scenes.push(await reach(stage, cell));
  for (const scene of scenes) strike(stage, scene);
  const outcomes = new Map<Cell, Promise<unknown>>();
  for (const scene of scenes) {
    const outcome = Promise.all([checkOther(stage, scene), checkLog(stage, scene, since)]);
    outcome.catch(() => undefined); // It is the cell's test that fails.
    outcomes.set(scene.cell, outcome);
  }
  return { stage, outcomes };
}

/** Declares the tests of this side's cells. */
export function vanishing(side: Side): void {
  const reason = noNetwork();
  if (reason !== undefined) {
    test(`a ${side} vanishes`, (context) => context.skip(reason));
    return;
  }
  const all = cells(MOMENTS, [side], ["vanish"]);
  const played = forFile(() => playAll(side, all));
  for (const cell of all) {
    test(cell.title, { timeout: 60_000 }, async () => {
      await played().outcomes.get(cell);
      await checkDaemon(played().stage);
    });
  }

  test("all sockets are closed, each exchange has one line, and the bystanders got every byte", async () => {
    const { stage } = played();
    await checkSockets(stage);
    // A head that never came whole has no ray.
    const heads = stage.daemon.log.filter(({ phase }) => phase === "head");
    expect(heads).toHaveLength(all.filter(({ expected }) => expected.log?.phase === "head").length);
    const rays = stage.daemon.log.map(({ ray }) => ray).filter((ray) => ray !== undefined);
    expect(new Set(rays).size).toBe(rays.length);
    await checkDaemon(stage);
    for (const bystander of stage.bystanders) await bystander.finish();
  });
}
