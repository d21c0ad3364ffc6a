// Plays one cell of the fault table: reaches the moment, causes the fault, and checks both sides, the log and the
// daemon.

import { expect } from "vitest";
import type { Attempt } from "../../src/core/outcome.ts";
import { dial, isWhole, type RawClient } from "./client.ts";
import { faultsIn, type LogLine } from "./daemon.ts";
import { FAULTS, type Cell } from "./faults.ts";
import { answerPings, closeCode } from "./frames.ts";
import { HALF_PAYLOAD, scriptOf, type Script } from "./moments.ts";
import type { Stage } from "./stage.ts";
import { until, within } from "./until.ts";

/**
 * After a FIN or a RST the other side has its outcome within this time, in milliseconds. It is there at once; but a RST
 * that comes at once can look like a dial that failed, which is tried again four times a second.
 */
const SOON_MS = 15_000;
/** The same after a peer vanished, where only TCP keepalive notices. */
const KEEP_ALIVE_MS = 30_000;
// A stalled peer gets 1 s to answer before it is cut; a pooled connection is idle for less.
const CLEAN_MS = 15_000;

/** A cell whose moment is reached. */
export interface Scene {
  cell: Cell;
  script: Script;
  ray: string;
  client: RawClient;
  upstream: RawClient | undefined;
}

/** How long the other side may have to wait for its outcome. */
function patience(stage: Stage, { fault, expected }: Cell): number {
  if (expected.slow) return KEEP_ALIVE_MS;
  return fault === "fin" || fault === "rst" ? SOON_MS : stage.silenceMs;
}

let rays = 0;
/** A name for the next exchange, for the log. */
export const nextRay = (): string => `cell-${++rays}`;
const isExchange = (line: LogLine): boolean => /^(request|tunnel) ended$/.test(line.msg);

/** Brings a client and an upstream to the moment of the cell. */
export async function reach(stage: Stage, cell: Cell): Promise<Scene> {
  const script = scriptOf(cell.moment, cell.side);
  const server = stage[script.to];
  server.skip();
  server.script = undefined;
  const before = stage.daemon.sockets();
  const ray = nextRay();
  const client = await dial(stage.daemon.port, stage.host);
  client.send(script.asks(ray));
  await until(() => stage.daemon.sockets() > before, "the daemon to accept");
  // To node a RST right behind bytes that were not read yet is a FIN.
  await until(() => stage.daemon.unread(client.socket.localPort ?? 0) === 0, "the daemon to read");
  if (script.reads === undefined) return { cell, script, ray, client, upstream: undefined };
  const upstream = await server.next();
  // Whoever is not at fault closes when it is told that nothing more comes; but for some, who are not waited for.
  const other = cell.side === "client" ? upstream : client;
  if (script.to === "web" || cell.fault !== "rst") other.socket.once("end", () => other.halfClose());
  await upstream.readUntil(script.reads);
  if (script.to === "mux") {
    answerPings(client, true);
    answerPings(upstream, false);
  }
  if (script.answers !== undefined) upstream.send(script.answers);
  if (script.shows !== undefined) await client.readUntil(script.shows);
  if (script.arrives !== undefined) await upstream.readUntil(script.arrives);
  if (script.done) await stage.daemon.logged((line) => line["ray"] === ray, "the exchange before");
  return { cell, script, ray, client, upstream };
}

/** Causes the fault: on this connection, and on the connection of each later attempt. */
export function strike(stage: Stage, scene: Scene): void {
  const { cell, script, client, upstream } = scene;
  const [atFault, other] = cell.side === "client" ? [client, upstream] : [upstream, client];
  if (!atFault) throw new Error(`${cell.title}: nobody to be at fault`);
  if (cell.expected.attempts > 1) {
    stage[script.to].script = (again) => {
      // One that was given up before it got there needs no fault.
      const there = again.readUntil(script.reads ?? "").catch(() => undefined);
      void there.then(() => FAULTS[cell.fault](again, stage.cable));
    };
  }
  FAULTS[cell.fault](atFault, stage.cable);
  if (cell.fault === "stall" || cell.fault === "vanish") press(scene, other);
}

function press({ cell, script }: Scene, other: RawClient | undefined): void {
  const flood = script.presses?.[cell.side];
  if (flood) other?.send(flood);
}

/** Checks that the other side has its outcome. */
export async function checkOther(stage: Stage, scene: Scene): Promise<void> {
  const { cell, script, client, upstream } = scene;
  const { expected } = cell;
  const ms = patience(stage, cell);
  if (!expected.log || !upstream) return;
  const other = cell.side === "client" ? upstream : client;
  if (cell.side === "upstream" && expected.status >= 500) {
    await client.readUntil(/^HTTP\/1\.1 \d{3} [^]*\}\n$/, ms);
    expect(client.received()).toMatch(new RegExp(`^HTTP/1\\.1 ${expected.status} `));
    expect(isWhole(client.received())).toBe(true);
    // It has its answer; whether it goes on with its body or its connection is its own affair.
    client.reset();
    return;
  }
  const end = await within(other.ended, `${cell.side === "client" ? "upstream" : "client"} to see the end`, ms);
  if (expected.status === 101) {
    expect(closeCode(other)).toBe(expected.close);
    // Nor anything else: it would be taken for payload of the half frame.
    if (expected.close === undefined) expect(other.received().slice(-HALF_PAYLOAD.length)).toBe(HALF_PAYLOAD);
  } else if (cell.side === "upstream") expect(isWhole(client.received(), end)).toBe(false);
  else expect(isWhole(upstream.received())).toBe(script.presses?.upstream === undefined);
}

/** Checks the log line of the exchange. */
export async function checkLog(stage: Stage, scene: Scene, since: number): Promise<void> {
  const { expected, side } = scene.cell;
  const { log } = expected;
  if (!log) return;
  const isOurs = (line: LogLine): boolean =>
    isExchange(line) && (log.phase === "head" ? line["phase"] === "head" : line["ray"] === scene.ray);
  const ours = (): LogLine | undefined => stage.daemon.log.slice(since).find(isOurs);
  const line = await until(ours, `log line of ${scene.cell.title}`, patience(stage, scene.cell));
  const { by, how, phase, status } = line;
  expect({ by, how, phase, status }).toEqual({ by: side, ...log, status: expected.status });
  if (log.phase === "head") return;
  expect(line["kind"]).toBe(log.phase === "tunnel" ? "tunnel" : "request");
  // A RST that comes at once can look like a connection that never stood: such a try is held, not counted as a retry.
  const attempts = (line["attempts"] as Attempt[]).filter((attempt) => attempt.phase !== "connect");
  expect(attempts).toHaveLength(expected.attempts);
}

/** An upstream connection that was lost while idle: it is not used any more, and the next request gets another. */
async function checkNextRequest(stage: Stage, scene: Scene, before: number): Promise<void> {
  const { client, script } = scene;
  await until(() => stage.daemon.sockets() < before, "the idle connection to be closed");
  const had = client.received().length;
  client.send(script.asks("next"));
  const fresh = await stage.web.next();
  await fresh.readUntil("\r\n\r\n");
  fresh.send(script.answers ?? "");
  await until(() => client.received().slice(had).endsWith("whole"), "answer to the next request");
  const line = await stage.daemon.logged((one) => one["ray"] === "next", "the next request");
  expect(line["attempts"]).toMatchObject([{ reused: false }]);
  line["ray"] = "seen";
  client.reset();
  fresh.reset();
}

/**
 * Checks that the daemon is the same process, has written nothing to stderr and caught every error; and the bystanders.
 */
export async function checkDaemon(stage: Stage): Promise<void> {
  const { child, log } = stage.daemon;
  expect(child.exitCode ?? child.signalCode).toBeNull();
  expect(stage.daemon.stderr()).toBe("");
  expect(faultsIn(log)).toEqual([]);
  for (const bystander of stage.bystanders) await bystander.check();
}

/** Checks that all sockets of the cell are closed. */
export async function checkSockets(stage: Stage): Promise<void> {
  const back = (): boolean => stage.daemon.sockets() === stage.baseline;
  await until(back, `${stage.baseline} open sockets again`, CLEAN_MS).catch((error: unknown) => {
    throw new Error(`${stage.daemon.sockets()} sockets are open`, { cause: error });
  });
}

/** Plays a cell from its beginning to its last socket. */
export async function play(stage: Stage, cell: Cell): Promise<void> {
  const scene = await reach(stage, cell);
  const since = stage.daemon.log.length;
  const open = stage.daemon.sockets();
  strike(stage, scene);
  await Promise.all([checkOther(stage, scene), checkLog(stage, scene, since)]);
  const isPooled = scene.script.done === true && cell.side === "upstream";
  if (isPooled) await checkNextRequest(stage, scene, open);
  await checkSockets(stage);
  const lines = stage.daemon.log.slice(since).filter(isExchange);
  expect(lines.slice(isPooled || cell.expected.log ? 1 : 0)).toEqual([]);
  await checkDaemon(stage);
}
