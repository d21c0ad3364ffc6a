// Kills and restarts an upstream under traffic, and checks the result of each request.

import { expect } from "vitest";
import { childServer, type ChildServer } from "./child.ts";
import { faultsIn, startDaemon, type TestDaemon } from "./daemon.ts";
import { client, every, type Answer } from "./load.ts";
import { until, within } from "./until.ts";

/** The default of 10 s is longer than the outages below; starting a server on a busy machine is not part of them. */
export const HOLD: string[] = ["--hold", "30s"];

/** A kill, from the signal until the process had ended. */
interface Kill {
  from: number;
  to: number;
}

/** What the test can do to the upstream in withTraffic(). */
export interface Story {
  /** Kills the upstream, and starts it again when this many requests have been sent since, one each 20 ms. */
  outage: (requests: number) => Promise<void>;
  /** Resolves when this many more requests have been sent, and all that waited are served. */
  traffic: (requests: number) => Promise<void>;
}

/** Sends a GET every 20 ms and a POST every 100 ms while `happen` runs; then checks every answer. */
export async function withTraffic(happen: (story: Story) => Promise<void>): Promise<void> {
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
export async function expectQuiet(daemon: TestDaemon): Promise<void> {
  expect(faultsIn(daemon.log)).toEqual([]);
  expect(await daemon.stop()).toBe(0);
  expect(daemon.stderr()).toBe("");
}
