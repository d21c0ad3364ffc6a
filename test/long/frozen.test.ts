// A frozen web server, with the default limits: its kernel accepts connections, so only waiting requests show it.

import { expect, test } from "vitest";
import type { LinkReport, Report } from "../../src/ops/report.ts";
import { askAdmin } from "../kit/admin.ts";
import { childServer } from "../kit/child.ts";
import { dial, head } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { nextResponse } from "../kit/messages.ts";
import { until } from "../kit/until.ts";

const linkOf = async (daemon: TestDaemon): Promise<LinkReport> =>
  (JSON.parse(await askAdmin(daemon, "/status")) as Report).links[0] as LinkReport;

test("it is in doubt after ten seconds and lost soon after, long before the 504", { timeout: 90_000 }, async () => {
  const web = await childServer();
  const daemon = await startDaemon(["--http", String(web.port), "--probe-interval", "15s", "--admin", "127.0.0.1:0"]);
  await daemon.logged(({ msg }) => msg === "upstream http is up", "the upstream to be up");
  const link = async (): Promise<Record<string, unknown>> => ({
    ...(await linkOf(daemon)),
  });
  expect(await link()).toMatchObject({ lastProbeOk: true, lastProbeKind: "connect" });
  web.signal("SIGSTOP");
  const frozen = performance.now();
  const clients = await Promise.all([0, 1, 2, 3].map(() => dial(daemon.port)));
  for (const [n, client] of clients.entries()) client.send(head(`GET /${n}?secret HTTP/1.1`, "Host: a"));
  await until(async () => (await link()).oldestWait, "what waits");
  expect(await link()).toMatchObject({ oldestWait: { method: "GET", path: "/0" } });
  await daemon.logged(({ state }) => state === "suspect", "doubt", 20_000);
  expect(performance.now() - frozen).toBeGreaterThan(9000);
  await daemon.logged(({ state }) => state === "reconnecting", "the loss", 20_000);
  expect(performance.now() - frozen).toBeLessThan(40_000);
  web.signal("SIGCONT");
  for (const client of clients) expect((await nextResponse(client)).status).toBe(200);
  await daemon.logged(
    ({ msg, reconnectCount }) => msg === "upstream http is up" && reconnectCount === 1,
    "it to be back",
  );
});

test("one that is only slow is asked, answers, and stays up", { timeout: 60_000 }, async () => {
  const web = await childServer();
  const daemon = await startDaemon(["--http", String(web.port), "--probe-interval", "15s", "--admin", "127.0.0.1:0"]);
  const stuck = await dial(daemon.port);
  // A body that never comes: the child waits for it, and so does the response. (A POST is answered when it is whole.)
  stuck.send(head("POST /slow HTTP/1.1", "Host: a", "Content-Length: 1", "Expect: 100-continue"));
  const asked = async (): Promise<boolean> => (await linkOf(daemon)).lastProbeKind === "byte";
  await until(asked, "a byte to be asked for", 20_000);
  expect(await linkOf(daemon)).toMatchObject({ state: "up", lastProbeOk: true });
});
