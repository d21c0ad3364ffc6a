// Longer outages than those of test/e2e/hold.test.ts: no request is lost in any of them.

import { expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { childServer } from "../kit/child.ts";
import { startDaemon } from "../kit/daemon.ts";
import { every } from "../kit/load.ts";
import { expectQuiet, HOLD, withTraffic } from "../kit/outages.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

test("nothing is lost while the upstream is killed and away for 6 s", () => withTraffic(({ outage }) => outage(300)));

test("nothing is lost while the upstream is killed five times in a row", () =>
  withTraffic(async ({ outage, traffic }) => {
    for (let i = 0; i < 5; i++) {
      await outage(10);
      await traffic(5);
    }
  }));

test("every upgrade is served while the mux is killed and comes back, and open tunnels are told with 1012", async () => {
  const mux = await childServer();
  const daemon = await startDaemon(["--http", String(mux.port), "--mux", `${mux.port}/mux`, ...HOLD]);
  const open = async (): Promise<{ opened: boolean; echoed: boolean; code: number; error: string | undefined }> => {
    const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}/mux`);
    let opened = false;
    let echoed = false;
    let error: string | undefined;
    socket.once("open", () => {
      opened = true;
      socket.send("hello");
    });
    socket.once("message", () => {
      echoed = true;
      socket.close(1000);
    });
    socket.once("error", (problem) => (error = problem.message));
    const code = await new Promise<number>((resolve) => socket.once("close", resolve));
    return { opened, echoed, code, error };
  };
  const long = new WebSocket(`ws://127.0.0.1:${daemon.port}/mux`);
  const longEnded = new Promise((resolve) => long.once("close", resolve));
  await within(new Promise((resolve) => long.once("open", resolve)), "open");

  const upgrades = every(25, open);
  const traffic = (count: number): Promise<boolean> => {
    const enough = upgrades.begun() + count;
    return until(() => upgrades.begun() >= enough, `${count} more upgrades`, 30_000);
  };
  await traffic(5);
  for (const away of [60, 5, 5, 5]) {
    await mux.kill("SIGKILL");
    await traffic(away);
    await mux.start();
    await traffic(5);
  }
  expect(await within(longEnded, "the long tunnel to be told")).toBe(1012);
  const results = await within(upgrades.stop(), "all upgrades", 30_000);
  // One whose 101 had just come ends as every open tunnel does; none is refused. Its echo there, it says goodbye
  // itself.
  expect(results.filter(({ opened, echoed, code }) => !opened || (!echoed && code !== 1012))).toEqual([]);
  await expectQuiet(daemon);
});
