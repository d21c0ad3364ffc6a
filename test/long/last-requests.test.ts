// How many requests are lost around SIGTERM and in takeovers, and how many of those were done all the same: several
// rounds at 60 clients, some of which rest for so long that their connections are ended while they do.

import { expect, test } from "vitest";
import { startDaemon } from "../kit/daemon.ts";
import { ownRuntime } from "../kit/ops.ts";
import { doer, send, type Tally } from "../kit/senders.ts";
import { line, shares, version } from "../kit/takeovers.ts";
import { until, within } from "../kit/until.ts";

const ROUNDS = 8;
const BREAKS_MS = Array.from({ length: 60 }, (_, i) => [0, 1, 10, 100, 400, 1003][i % 6] ?? 0);

function said(what: string, tallies: Tally[]): void {
  const sum = (of: (tally: Tally) => number): number => tallies.reduce((total, one) => total + of(one), 0);
  const lost = `${sum(({ lost }) => lost.length)} lost, ${sum(({ doneButLost }) => doneButLost.length)} done but lost`;
  console.info(`${what} on ${version}: ${sum(({ answered }) => answered)} answered, ${lost}`);
}

test(`${ROUNDS} times SIGTERM at 60 clients: what is lost was not done`, { timeout: 120_000 }, async () => {
  const tallies: Tally[] = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    const { port: web, done } = await doer();
    const daemon = await startDaemon(["--http", String(web)], ownRuntime());
    const senders = send(daemon.port, done, BREAKS_MS, false);
    await until(() => senders.answered() > 500 + 100 * i, "them to be busy");
    daemon.child.kill("SIGTERM");
    expect(await within(daemon.exited, "the end")).toBe(0);
    tallies.push(await senders.stop());
  }
  said(`${ROUNDS} times SIGTERM`, tallies);
  for (const { doneButLost, wrong } of tallies) expect({ doneButLost, wrong }).toEqual({ doneButLost: [], wrong: [] });
});

test(`${ROUNDS} takeovers at 60 clients: nothing is lost`, { timeout: 120_000 }, async () => {
  const { port: web, done } = await doer();
  const { port, next } = await line("--http", String(web));
  let current = await next();
  const senders = send(port, done, BREAKS_MS, true);
  for (let i = 0; i < ROUNDS; i += 1) {
    const busy = senders.answered() + 500;
    await until(() => senders.answered() > busy, "them to be busy");
    const older = current;
    current = await next();
    expect(await within(older.exited, "the older one to end")).toBe(0);
  }
  const tally = await senders.stop();
  said(`${ROUNDS} takeovers`, [tally]);
  const { lost, doneButLost, wrong, refused } = tally;
  expect({ lost, doneButLost, wrong }).toEqual({ lost: [], doneButLost: [], wrong: [] });
  if (shares) expect(refused).toBe(0);
});
