// `single-port demo`: what a new user sees first, and what its buttons do.

import { readFileSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDemo, type Demo } from "../kit/demo.ts";
import { until, within } from "../kit/until.ts";

// Restarts take their 1.5 s, and the waits have their own limits.
vi.setConfig({ testTimeout: 60_000 });

/** Presses a button, as the page or as somebody else's. */
async function hurt(demo: Demo, path: string, headers: Record<string, string> = {}): Promise<number> {
  const url = `http://127.0.0.1:${demo.port}${path}`;
  return (await fetch(url, { method: "POST", headers })).status;
}

/** Listens to the clock; resolves once it has ticked. */
async function listen(demo: Demo): Promise<RawClient> {
  const clock = await dial(demo.port);
  clock.send(head("GET /clock HTTP/1.1", "Host: a"));
  await clock.readUntil('"now"', 5000);
  return clock;
}

const ticks = (clock: RawClient): number => clock.received().split('"now"').length - 1;
const webPid = (clock: RawClient): number => Number(/"pid":(\d+)/.exec(clock.received())?.[1]);

/** Resolves after the clock has ticked twice more: it goes on. */
async function goesOn(clock: RawClient): Promise<void> {
  const before = ticks(clock);
  await until(() => ticks(clock) >= before + 2, "two more ticks of the clock", 6000);
}

interface Terminal {
  socket: WebSocket;
  pid: number;
  echo(text: string): Promise<void>;
  closed: Promise<number>;
}

async function openTerminal(demo: Demo, id: string): Promise<Terminal> {
  const socket = new WebSocket(`ws://127.0.0.1:${demo.port}/ao-terminal-mux?id=${id}`);
  onTestFinished(() => socket.terminate());
  socket.on("error", () => {});
  const said: string[] = [];
  socket.on("message", (data: Buffer) => said.push(data.toString()));
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  // Longer than a restart takes: the handshake is held meanwhile.
  const pid = await until(() => /^pid (\d+)$/.exec(said[0] ?? "")?.[1], "the mux to say who it is", 8000);
  const echo = async (text: string): Promise<void> => {
    socket.send(text);
    await until(() => said.includes(text), `echo of ${text}`);
  };
  return { socket, pid: Number(pid), echo, closed };
}

/**
 * Is it running? One that ended under a killed parent stays a zombie until init takes note: for ever in some
 * containers.
 */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== "linux" || !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const gone = (...pids: number[]): Promise<unknown> => until(() => !pids.some(isAlive), "the children to end", 5000);

test("it says where its live page is, and that is there", async () => {
  const demo = await startDemo();
  expect(demo.livePage).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  const answer = await fetch(demo.livePage);
  expect(await answer.text()).toContain("<title>single-port</title>");
});

test("the page, the clock and the terminal are on one port", async () => {
  const demo = await startDemo();
  const answer = await fetch(`http://127.0.0.1:${demo.port}/`);
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(await answer.text()).toMatch(/^<!doctype html>[^]*Break something[^]*<\/html>\n$/);
  await goesOn(await listen(demo));
  const terminal = await openTerminal(demo, "a");
  await terminal.echo("hello");
});

test("a reset of my WebSocket ends neither another's nor the clock", async () => {
  const demo = await startDemo();
  const clock = await listen(demo);
  const [mine, other] = await Promise.all([openTerminal(demo, "mine"), openTerminal(demo, "other")]);
  expect(await hurt(demo, "/hurt/socket?id=mine")).toBe(202);
  expect(await within(mine.closed, "my WebSocket to close")).toBe(1012);
  await goesOn(clock);
  await other.echo("still here");
  const again = await openTerminal(demo, "mine");
  expect(again.pid).toBe(mine.pid);
  await again.echo("back");
});

test("a killed mux ends the terminal, which comes back while the clock goes on", async () => {
  const demo = await startDemo();
  const clock = await listen(demo);
  const before = await openTerminal(demo, "a");
  expect(await hurt(demo, "/hurt/mux")).toBe(202);
  expect(await within(before.closed, "the WebSocket to close")).toBe(1012);
  const after = await openTerminal(demo, "a");
  await after.echo("back");
  expect(after.pid).not.toBe(before.pid);
  await goesOn(clock);
});

test("a killed web server ends the clock, which comes back while the terminal goes on", async () => {
  const demo = await startDemo();
  const before = await listen(demo);
  const terminal = await openTerminal(demo, "a");
  expect(await hurt(demo, "/hurt/web")).toBe(202);
  await within(before.ended, "the clock to end");
  await terminal.echo("meanwhile");
  const after = await listen(demo);
  expect(webPid(after)).not.toBe(webPid(before));
  await terminal.echo("afterwards");
});

test("a download that is reset half-way is an error, not a short file", async () => {
  const demo = await startDemo();
  const clock = await listen(demo);
  const answer = await fetch(`http://127.0.0.1:${demo.port}/download?id=a`);
  const reader = answer.body?.getReader();
  expect((await reader?.read())?.value?.length).toBeGreaterThan(0);
  expect(await hurt(demo, "/hurt/download?id=a")).toBe(202);
  const rest = async (): Promise<void> => {
    while (!(await reader?.read())?.done);
  };
  await expect(within(rest(), "the download to end")).rejects.toThrow("terminated");
  await goesOn(clock);
});

test("only the page itself may hurt: not a link, and not another site", async () => {
  const demo = await startDemo();
  const clock = await listen(demo);
  const own = `http://127.0.0.1:${demo.port}`;
  expect((await fetch(`${own}/hurt/web`)).status).toBe(405);
  for (const headers of [
    { Origin: "http://evil.example" },
    { Origin: "null" },
    { "Sec-Fetch-Site": "cross-site", Origin: own },
    { "Sec-Fetch-Site": "same-site" },
  ]) {
    expect(await hurt(demo, "/hurt/web", headers)).toBe(403);
  }
  await goesOn(clock);
  expect(await hurt(demo, "/hurt/web", { Origin: own })).toBe(202);
  await within(clock.ended, "the clock to end");
});

test("SIGTERM ends it with exit code 0, and its children", async () => {
  const demo = await startDemo();
  const clock = await listen(demo);
  const terminal = await openTerminal(demo, "a");
  demo.child.kill("SIGTERM");
  expect(await within(terminal.closed, "the WebSocket to close", 5000)).toBe(1001);
  expect(await within(demo.exited, "the demo to stop", 8000)).toBe(0);
  // It waits for them: they are gone before it is.
  expect([webPid(clock), terminal.pid].filter(isAlive)).toEqual([]);
});

test("children end with a parent that was killed", async () => {
  const demo = await startDemo();
  const clock = await listen(demo);
  const terminal = await openTerminal(demo, "a");
  expect([webPid(clock), terminal.pid].filter(isAlive)).toHaveLength(2);
  demo.child.kill("SIGKILL");
  await within(demo.exited, "the demo to be gone");
  await gone(webPid(clock), terminal.pid);
});

test("children leave a signal to their parent, which drains first", async () => {
  const demo = await startDemo();
  const clock = await listen(demo);
  const terminal = await openTerminal(demo, "a");
  for (const pid of [webPid(clock), terminal.pid]) {
    process.kill(pid, "SIGINT");
    process.kill(pid, "SIGTERM");
  }
  await goesOn(clock);
  await terminal.echo("still here");
});
