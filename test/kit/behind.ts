// The upstream half of the fault table behind a front: the front's client has to see every outcome.

import { expect, test } from "vitest";
import type { Report } from "../../src/ops/report.ts";
import { askAdmin } from "./admin.ts";
import { isWhole, type RawClient } from "./client.ts";
import { cells, MOMENTS, type Cell } from "./faults.ts";
import { answerPings, closeCode } from "./frames.ts";
import { FRONTS, noFront, type Front } from "./fronts.ts";
import { forFile } from "./lifetime.ts";
import { scriptOf } from "./moments.ts";
import { checkDaemon, checkLog, nextRay, strike, type Scene } from "./play.ts";
import { openFrontStage, type Stage } from "./stage.ts";
import { until, within } from "./until.ts";
import type { RawUpstream } from "./upstream.ts";

/** What an HTTP/1.0 client gets is the front's affair: to us it speaks 1.1, and nothing but a FIN ends such a body. */
const SEEN_THROUGH = MOMENTS.filter((moment) => !moment.includes("HTTP/1.0"));
/** What a front may keep to itself of a body before it passes some on: Caddy's buffers. */
const BUFFERED = "x".repeat(64 * 1024);
const OUTCOME_MS = 8000;

const asked = (front: Front, bytes: string): string => bytes.replace(/^Host: .*$/m, `Host: ${front.host}`);

/** On which connection this was asked for: it may be one that served another cell. */
async function connectionOf(server: RawUpstream, ray: string): Promise<RawClient> {
  return await until(
    () => server.accepted.findLast((peer) => peer.received().includes(`${ray}\r\n`)),
    `${ray} at the upstream`,
  );
}

/** Brings a client of the front, and an upstream, to the moment of the cell. */
async function reach(stage: Stage, front: Front, cell: Cell): Promise<Scene> {
  const script = scriptOf(cell.moment, cell.side);
  const server = stage[script.to];
  server.skip();
  server.script = undefined;
  const ray = nextRay();
  const client = await front.dial();
  const bytes = asked(front, script.asks(ray));
  // Caddy drops what comes behind an upgrade before the 101; a browser sends nothing there.
  const head = script.to === "mux" ? bytes.indexOf("\r\n\r\n") + 4 : bytes.length;
  client.send(bytes.slice(0, head));
  const upstream = script.reads === "" ? await server.next() : await connectionOf(server, ray);
  if (script.to === "web" || cell.fault !== "rst") client.socket.once("end", () => client.halfClose());
  await upstream.readUntil(script.to === "mux" ? "\r\n\r\n" : (script.reads ?? ""));
  if (script.to === "mux") {
    answerPings(client, true);
    answerPings(upstream, false);
  }
  if (script.answers !== undefined) upstream.send(script.answers);
  if (cell.moment.includes("body (length)") && script.shows !== undefined) upstream.send(BUFFERED);
  if (script.shows !== undefined) await client.readUntil(script.shows);
  client.send(bytes.slice(head));
  if (script.arrives !== undefined) await upstream.readUntil(script.arrives);
  if (script.done) await stage.daemon.logged((line) => line["ray"] === ray, "the exchange before");
  return { cell, script, ray, client, upstream };
}

/** Sends more of a body now and then, until something has come of it. */
async function sendUntil(client: RawClient, chunked: boolean, over: Promise<unknown>): Promise<void> {
  const more = chunked ? `${BUFFERED.length.toString(16)}\r\n${BUFFERED}\r\n` : BUFFERED;
  const timer = setInterval(() => client.send(more), 20);
  try {
    await over;
  } finally {
    clearInterval(timer);
  }
}

/** Checks that the front's client sees the outcome, as far as the front can show it. */
async function checkClient(front: Front, { cell, client, script }: Scene): Promise<void> {
  const { expected } = cell;
  if (expected.status >= 500) {
    const answered = client.readUntil(/^HTTP\/1\.1 \d{3} [^]*\}\n$/, OUTCOME_MS);
    // An upload goes on until it has its answer: Caddy passes an early one on when it is about to read more.
    if (script.presses?.upstream) await sendUntil(client, cell.moment.includes("chunked"), answered);
    await answered;
    expect(client.received()).toMatch(new RegExp(`^HTTP/1\\.1 ${expected.status} `));
    expect(isWhole(client.received())).toBe(true);
    return client.reset();
  }
  if (expected.status === 101) {
    await within(client.ended, "the client to see the end", OUTCOME_MS);
    return expect(closeCode(client)).toBe(expected.close);
  }
  if (front.completesCutBodies && /transfer-encoding: chunked/i.test(client.received())) {
    await client.readUntil("\r\n0\r\n\r\n", OUTCOME_MS);
    return client.reset();
  }
  const end = await within(client.ended, "the client to see the end", OUTCOME_MS);
  expect(isWhole(client.received(), end)).toBe(false);
}

/** An idle connection that is lost is nobody's failure: the next request gets another. */
async function checkNextRequest(stage: Stage, front: Front, { client, script }: Scene): Promise<void> {
  const had = client.received().length;
  const ray = nextRay();
  client.send(asked(front, script.asks(ray)));
  // It may have been written to the lost one, too, of which nothing was known yet.
  const served = new Set<RawClient>();
  const answered = (): boolean => {
    for (const peer of stage.web.accepted) {
      if (served.has(peer) || peer.socket.destroyed || !peer.received().includes(`${ray}\r\n`)) continue;
      served.add(peer);
      peer.send(script.answers ?? "");
    }
    return client.received().slice(had).endsWith("whole");
  };
  await until(answered, "answer to the next request");
  client.reset();
}

/** Waits until only the bystanders' exchanges are open. The front may keep idle connections. */
async function checkSettled({ daemon }: Stage): Promise<void> {
  const settled = async (): Promise<boolean> => {
    const { requests, tunnels } = JSON.parse(await askAdmin(daemon, "/status")) as Report;
    return requests === 1 && tunnels.length === 1;
  };
  await until(settled, "no exchange but the bystanders'", OUTCOME_MS);
}

/** Plays cells side by side, so that a silence is waited for once. */
async function play(stage: Stage, front: Front, all: Cell[]): Promise<void> {
  const since = stage.daemon.log.length;
  const scenes: Scene[] = [];
  for (const cell of all) scenes.push(await reach(stage, front, cell));
  for (const scene of scenes) strike(stage, scene);
  await Promise.all(
    scenes.map(async (scene) => {
      if (!scene.cell.expected.log) return await checkNextRequest(stage, front, scene);
      await Promise.all([checkClient(front, scene), checkLog(stage, scene, since)]);
    }),
  );
  await checkSettled(stage);
  await checkDaemon(stage);
}

/** Declares the tests of this front. */
export function faultsBehind(name: keyof typeof FRONTS): void {
  const reason = noFront(name);
  if (reason !== undefined) {
    test(`the fault table behind ${name}`, (context) => context.skip(reason));
    return;
  }
  const opened = forFile(() => openFrontStage(FRONTS[name]));
  for (const cell of cells(SEEN_THROUGH, ["upstream"], ["fin", "rst"])) {
    test(cell.title, { timeout: 60_000 }, () => play(opened().stage, opened().front, [cell]));
  }
  const stalls = cells(SEEN_THROUGH, ["upstream"], ["stall"]).filter(({ expected }) => expected.log !== undefined);
  const moments = stalls.map(({ moment }) => moment).join("; ");
  test(`upstream stall: ${moments}`, { timeout: 30_000 }, () => play(opened().stage, opened().front, stalls));

  test("the bystanders got every byte, and when the front goes nothing is left open", async () => {
    const { stage, front } = opened();
    for (const bystander of stage.bystanders) await bystander.finish();
    front.program.child.kill("SIGKILL");
    await until(() => stage.daemon.sockets() <= stage.baseline, `${stage.baseline} open sockets again`, 10_000);
    expect(stage.daemon.stderr()).toBe("");
  });
}
