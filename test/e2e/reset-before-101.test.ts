// The row `reset` (agent-orchestrator 2103): clients that reset between their upgrade and the 101, a thousand times.

import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { faultsIn, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { caddyInFrontOf, fetchReplaced, noCaddy, startReplaced } from "../kit/programs.ts";
import { rawUpstream, type RawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const ROUNDS = 1000;
const AT_ONCE = 20;
const SWITCHING = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade");

/** A mux that never agrees to an upgrade in even rounds, and in odd ones just when the client resets. */
interface SlowMux {
  upstream: RawUpstream;
  /** Resolves when the upgrade of this round has arrived. */
  arrival(round: number): Promise<void>;
}

async function slowMux(): Promise<SlowMux> {
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
async function storm(port: number, mux: SlowMux, gone?: Promise<unknown>): Promise<number> {
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

async function expectUnharmed(daemon: TestDaemon, sockets: number, port: number): Promise<void> {
  await until(() => daemon.sockets() === sockets, `${sockets} open sockets again`, 5000);
  expect(daemon.child.exitCode ?? daemon.child.signalCode).toBeNull();
  expect(daemon.stderr()).toBe("");
  expect(faultsIn(daemon.log)).toEqual([]);
  const client = await dial(port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  await client.readUntil(/^HTTP\/1\.1 200 [^]*still$/);
}

async function daemonOf({ upstream }: SlowMux): Promise<TestDaemon> {
  const { port } = upstream;
  return await startDaemon(["--http", String(port), "--mux", `${port}/mux`]);
}

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

test("1,000 resets before the 101 end nothing but themselves behind Caddy", { timeout: 30_000 }, async (context) => {
  const reason = noCaddy();
  context.skip(reason !== undefined, reason);
  const mux = await slowMux();
  const daemon = await daemonOf(mux);
  const caddy = await caddyInFrontOf(daemon.port);
  const sockets = await daemon.settledSockets();
  expect(await storm(caddy.port, mux)).toBe(ROUNDS);
  await expectUnharmed(daemon, sockets, caddy.port);
});

test("the same resets kill the server that single-port replaces", { timeout: 90_000 }, async (context) => {
  const file = (await fetchReplaced()) ?? "";
  context.skip(file === "", "the npm registry cannot be reached");
  const mux = await slowMux();
  const replaced = await startReplaced(file, mux.upstream.port);
  const closed = new Promise((resolve) => replaced.child.once("close", resolve));
  expect(await storm(replaced.port, mux, closed)).toBeLessThan(ROUNDS);
  expect(await within(closed, "the end of the server")).toBe(1);
  expect(replaced.output()).toMatch(/Unhandled 'error' event[^]*ECONNRESET/);
});
