// The row `reset` (agent-orchestrator 2103): clients that reset between their upgrade and the 101, a thousand times.

import { expect, test } from "vitest";
import { daemonOf, expectUnharmed, ROUNDS, slowMux, storm } from "../kit/resets.ts";

test("1,000 resets before the 101 end nothing but themselves", { timeout: 30_000 }, async () => {
  const mux = await slowMux();
  const daemon = await daemonOf(mux);
  const sockets = await daemon.settledSockets();
  expect(await storm(daemon.port, mux)).toBe(ROUNDS);
  // Had they been seen as something else, this would test something else.
  await daemon.logged(
    ({ by, how, phase }) => by === "client" && how === "rst" && phase === "waiting",
    "a reset before the 101",
  );
  await expectUnharmed(daemon, sockets, daemon.port);
});
