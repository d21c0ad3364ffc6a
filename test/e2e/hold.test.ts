import { expect, test, vi } from "vitest";
import { childServer } from "../kit/child.ts";
import { startDaemon } from "../kit/daemon.ts";
import { client } from "../kit/load.ts";
import { withTraffic } from "../kit/outages.ts";
import { deadPort, httpUpstream, rawUpstream, type RawUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 60_000 });

test("nothing is lost while the upstream is killed and away for 1.5 s", () => withTraffic(({ outage }) => outage(75)));

test("a POST whose upstream dies while it acts is not sent again: 502, and acted on once", async () => {
  const web = await childServer();
  const daemon = await startDaemon(["--http", String(web.port)]);
  const ask = client(daemon.port);
  const answer = await ask({ method: "POST", path: "/act-and-die", headers: { "X-Id": "only" }, body: "x" });
  expect(answer.status).toBe(502);
  expect(JSON.parse(answer.body)).toMatchObject({ error: { code: "upstream_reset", attempts: 1, upstream: "http" } });
  await web.start();
  expect((await ask()).status).toBe(200);
  expect(web.acted()).toEqual(["only"]);
});

test("an upstream that dies of its first request after an outage takes that one along, and nothing else", async () => {
  const port = await deadPort();
  const daemon = await startDaemon(["--http", String(port)]);
  const ask = client(daemon.port);
  const answers = Array.from({ length: 40 }, () => ask({ method: "POST", body: "only once" }));
  await until(() => daemon.sockets() >= 40, "all of them to wait");

  const dying: RawUpstream = await rawUpstream((peer) => peer.socket.once("data", () => void dying.kill()), port);
  await until(() => dying.accepted.some(({ socket }) => socket.destroyed), "it to die");
  await until(() => !dying.server.listening, "its port to be free");
  await httpUpstream((req, res) => void req.resume().on("end", () => res.end("acted")), port);
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(39);
  expect(statuses.filter((status) => status === 502)).toHaveLength(1);
});
