import { expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { childServer, type ChildServer } from "../kit/child.ts";
import { faultsIn, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { client, every, type Answer } from "../kit/load.ts";
import { deadPort, httpUpstream, rawUpstream, type RawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

// A busy machine takes its time to start servers.
vi.setConfig({ testTimeout: 60_000 });

/** The default of 10 s is longer than the outages below; starting a server on a busy machine is not part of them. */
const HOLD = ["--hold", "30s"];

/** A kill, from the signal until the process had ended. */
interface Kill {
  from: number;
  to: number;
}

interface Story {
  /** Kills the upstream, and starts it again when this many requests have been sent since, one each 20 ms. */
  outage: (requests: number) => Promise<void>;
  /** Resolves when this many more requests have been sent, and all that waited are served. */
  traffic: (requests: number) => Promise<void>;
}

/** GETs every 20 ms and POSTs every 100 ms while `happen` happens to the upstream; then every answer is looked at. */
async function withTraffic(happen: (story: Story) => Promise<void>): Promise<void> {
  const web = await childServer();
  const daemon = await startDaemon(["--http", String(web.port), ...HOLD]);
  const ask = client(daemon.port);
  const kills: Kill[] = [];
  const gets = every(20, () => ask());
  const posts = every(100, (id) => ask({ method: "POST", headers: { "X-Id": `p${id}` }, body: "do it" }));
  const sent = async (requests: number): Promise<void> => {
    const enough = gets.begun() + requests;
    await until(() => gets.begun() >= enough, `${requests} more requests`, 30_000);
  };
  const traffic = async (requests: number): Promise<void> => {
    await sent(requests);
    await until(() => gets.pending() + posts.pending() === 0, "all that waited to be served", 30_000);
  };
  const outage = async (requests: number): Promise<void> => {
    const from = performance.now();
    await web.kill("SIGKILL");
    kills.push({ from, to: performance.now() });
    await sent(requests);
    await web.start();
  };
  await traffic(10);
  await happen({ outage, traffic });
  await traffic(10);
  const got = await within(gets.stop(), "the GETs", 30_000);
  const posted = await within(posts.stop(), "the POSTs", 30_000);
  expect(got.filter(({ status }) => status !== 200)).toEqual([]);
  expectActedOnce(posted, web, kills);
  await expectQuiet(daemon);
}

/**
 * A POST is answered, or it was under way in the moment of a kill: connected, or sent, and then the process was gone.
 * Nobody can know whether that one was acted on, so it is not sent again and gets a 502 that says so.
 */
function expectActedOnce(posted: Answer[], web: ChildServer, kills: Kill[]): void {
  const acted = web.acted();
  expect(new Set(acted).size, "ids acted on more than once").toBe(acted.length);
  const underWay = ({ began, ended }: Answer): boolean => kills.some(({ from, to }) => began <= to && ended >= from);
  for (const [id, answer] of posted.entries()) {
    if (answer.status === 200) expect(acted, "answered, so acted on").toContain(`p${id}`);
    else expect({ ...answer, underWay: underWay(answer) }).toMatchObject({ status: 502, underWay: true });
  }
  const lost = posted.filter(({ status }) => status !== 200).length;
  if (lost > 0) console.info(`${lost} of ${posted.length} POSTs were under way when their upstream was killed`);
}

/** Nothing is held or open any more, and nothing went wrong inside. */
async function expectQuiet(daemon: TestDaemon): Promise<void> {
  expect(faultsIn(daemon.log)).toEqual([]);
  expect(await daemon.stop()).toBe(0);
  expect(daemon.stderr()).toBe("");
}

test("nothing is lost while the upstream is killed and away for 1.5 s", () => withTraffic(({ outage }) => outage(75)));

test("nothing is lost while the upstream is killed and away for 6 s", () => withTraffic(({ outage }) => outage(300)));

test("nothing is lost while the upstream is killed five times in a row", () =>
  withTraffic(async ({ outage, traffic }) => {
    for (let i = 0; i < 5; i++) {
      await outage(10);
      await traffic(5);
    }
  }));

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
  // One whose 101 had just come ends as every open tunnel does; none is refused. Its echo there, it says goodbye itself.
  expect(results.filter(({ opened, echoed, code }) => !opened || (!echoed && code !== 1012))).toEqual([]);
  await expectQuiet(daemon);
});
