// Clients that reset between their upgrade and the 101, and a mux that delays the 101 for them.

import { expect } from "vitest";
import { dial, head, upgrade } from "./client.ts";
import { faultsIn, startDaemon, type TestDaemon } from "./daemon.ts";
import { rawUpstream, type RawUpstream } from "./upstream.ts";
import { until, within } from "./until.ts";

/** How many resets a storm has. */
export const ROUNDS = 1000;
const AT_ONCE = 20;
const SWITCHING = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade");

/** A mux that never agrees to an upgrade in even rounds, and in odd ones just when the client resets. */
export interface SlowMux {
  upstream: RawUpstream;
  /** Resolves when the upgrade of this round has arrived. */
  arrival(round: number): Promise<void>;
}

/** Starts it. */
export async function slowMux(): Promise<SlowMux> {
  const arrivals = new Map<number, () => void>();
  const upstream = await rawUpstream((peer) => {
    peer.socket.once("end", () => peer.halfClose());
    peer.socket.once("data", (bytes: Buffer) => {
      const text = bytes.toString("latin1");
      const round = Number(/^x-round: (\d+)/im.exec(text)?.[1] ?? -1);
      if (round < 0) return peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 5")}still`);
      if (round % 2 === 1) peer.send(SWITCHING);
      arrivals.get(round)?.();
    });
  });
  return { upstream, arrival: (round) => new Promise((resolve) => arrivals.set(round, resolve)) };
}

/** Runs the rounds against a port, unless whoever serves there is gone before. Resolves with the rounds begun. */
export async function storm(port: number, mux: SlowMux, gone?: Promise<unknown>): Promise<number> {
  let next = 0;
  const end = gone?.then(() => "gone") ?? new Promise(() => {});
  const play = async (round: number): Promise<void> => {
    const arrived = mux.arrival(round);
    const client = await dial(port);
    client.send(upgrade("/ao-terminal-mux", `X-Round: ${round}`));
    await within(arrived, `upgrade ${round} at the mux`, 5000);
    client.reset();
  };
  const one = async (): Promise<void> => {
    while (next < ROUNDS) {
      const over = play(next++);
      over.catch(() => undefined); // Of one that nobody waits for any more.
      if ((await Promise.race([over, end])) === "gone") return;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return next;
}

/** The process is the same one, with as many sockets as before, and serves on this port. */
export async function expectUnharmed(daemon: TestDaemon, sockets: number, port: number): Promise<void> {
  await until(() => daemon.sockets() === sockets, `${sockets} open sockets again`, 5000);
  expect(daemon.child.exitCode ?? daemon.child.signalCode).toBeNull();
  expect(daemon.stderr()).toBe("");
  expect(faultsIn(daemon.log)).toEqual([]);
  const client = await dial(port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  await client.readUntil(/^HTTP\/1\.1 200 [^]*still$/);
}

/** A daemon with this mux behind it. */
export async function daemonOf({ upstream }: SlowMux): Promise<TestDaemon> {
  const { port } = upstream;
  return await startDaemon(["--http", String(port), "--mux", `${port}/mux`]);
}
