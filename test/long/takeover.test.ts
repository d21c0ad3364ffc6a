// A new instance takes the port over from the previous one, which is in use.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { tempFolder } from "../kit/child.ts";
import { dial, head } from "../kit/client.ts";
import type { TestDaemon } from "../kit/daemon.ts";
import { listeners } from "../kit/launch.ts";
import { client, every, type Answer } from "../kit/load.ts";
import { endOf, nextResponse } from "../kit/messages.ts";
import { controlSocket, statusOf } from "../kit/ops.ts";
import { deadPort, httpUpstream, muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { line, shares, version } from "../kit/takeovers.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

/** A WebSocket that comes back whenever it is closed, as the dashboard's terminals do. */
class Terminal {
  codes: number[] = [];
  refused = 0;
  broken: string[] = [];
  socket: WebSocket | undefined;
  #over = false;
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
    this.#open();
    onTestFinished(() => {
      this.#over = true;
      this.socket?.terminate();
    });
  }

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  #open(): void {
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}/mux`);
    let opened = false;
    this.socket = socket;
    socket.on("open", () => (opened = true));
    socket.on("error", (error: Error & { code?: string }) => {
      if (error.code === "ECONNREFUSED") this.refused += 1;
      else this.broken.push(error.message);
    });
    socket.on("close", (code) => {
      if (opened) this.codes.push(code);
      if (!this.#over) setImmediate(() => this.#open());
    });
  }

  async echoes(text: string): Promise<void> {
    const echo = new Promise((resolve) => this.socket?.once("message", (data: Buffer) => resolve(data.toString())));
    this.socket?.send(text);
    expect(await within(echo, "an echo")).toBe(text);
  }
}

/** What went wrong, in words; refused connections are not among it. */
function wrong(answers: Answer[], body: string): string[] {
  return answers
    .filter(({ error, status, body: got }) => error !== "ECONNREFUSED" && (error ?? (status !== 200 || got !== body)))
    .map(({ error, status, body: got }) => `${status} ${error ?? got}`);
}

/** The longest time from a refused connection until the next one that was not. */
function longestGap(answers: Answer[]): number {
  let gap = 0;
  let since: number | undefined;
  for (const { error, began } of answers.toSorted((a, b) => a.began - b.began)) {
    if (error === "ECONNREFUSED") since ??= began;
    else if (since !== undefined) {
      gap = Math.max(gap, began - since);
      since = undefined;
    }
  }
  return gap;
}

test(`ten takeovers under 200 requests a second and 50 tunnels, on ${version}: ${shares ? "none lost" : "a gap, and nothing wrong"}`, async () => {
  const body = "x".repeat(2000);
  let asked = 0;
  // Every third is in flight for a while.
  const web = await httpUpstream((req, res) => {
    asked += 1;
    req.resume().on("end", () => (asked % 3 === 0 ? setTimeout(() => res.end(body), 30) : res.end(body)));
  });
  const mux = await muxUpstream();
  const { port, path, next } = await line("--http", String(web.port), "--mux", `${mux.port}/mux`, "--drain", "4s");
  let current = await next();
  const terminals = Array.from({ length: 50 }, () => new Terminal(port));
  await until(() => terminals.every(({ isOpen }) => isOpen), "50 tunnels", 5000);

  const kept = Array.from({ length: 10 }, () => client(port, 1));
  const fresh = client(port);
  const load = every(10, async (i) => {
    const upload = i % 5 === 0 ? { method: "POST", body: "y".repeat(500) } : {};
    const answers = [kept[i % kept.length]?.(upload), fresh({ ...upload, headers: { connection: "close" } })];
    return await Promise.all(answers as Promise<Answer>[]);
  });
  const older: TestDaemon[] = [];
  for (let i = 1; i <= 10; i += 1) {
    older.push(current);
    current = await next();
    const known = current.pid;
    await until(
      async () => {
        const status = await statusOf(path);
        return status.pid === known && status.tunnels.length === 50 && terminals.every(({ isOpen }) => isOpen);
      },
      `50 tunnels after takeover ${i}`,
      5000,
    );
    expect(await within(older[i - 1]?.exited ?? Promise.reject(), "the older one to end", 4000)).toBe(0);
  }
  const answers = (await load.stop()).flat();
  const refused = answers.filter(({ error }) => error === "ECONNREFUSED");

  expect(wrong(answers, body)).toEqual([]);
  expect(terminals.flatMap(({ broken }) => broken)).toEqual([]);
  expect(new Set(terminals.flatMap(({ codes }) => codes))).toEqual(new Set([1001]));
  expect(terminals.every(({ codes }) => codes.length >= 10)).toBe(true);
  await Promise.all(terminals.map((terminal) => terminal.echoes("hello")));
  if (shares) {
    expect(refused).toEqual([]);
    expect(terminals.every((terminal) => terminal.refused === 0)).toBe(true);
  } else {
    // From the older one's last accept to the newer one's first.
    expect(longestGap(answers)).toBeLessThan(2000);
    console.info(`${refused.length} of ${answers.length} refused, ${Math.round(longestGap(answers))} ms at most`);
  }
}, 60_000);

test("what the older one has in flight ends there, and an idle connection gets one more answer", async () => {
  const up = await rawUpstream();
  const { port, next } = await line("--http", String(up.port), "--drain", "5s");
  const old = await next();
  const GET = head("GET / HTTP/1.1", "Host: a");
  const OK = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
  const [idle, unused, begun, waiting] = [await dial(port), await dial(port), await dial(port), await dial(port)];
  idle.send(GET);
  const first = await up.next();
  await first.readUntil("\r\n\r\n");
  first.send(OK);
  expect((await nextResponse(idle)).field("connection")).toBe("keep-alive");
  // Its head promises to keep the connection before the takeover.
  begun.send(GET);
  const second = await up.next();
  await second.readUntil("\r\n\r\n");
  second.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345");
  await begun.readUntil("12345");
  waiting.send(GET);
  const third = await up.next();
  await third.readUntil("\r\n\r\n");

  await next();
  await old.logged(({ msg }) => msg === "draining", "draining");
  await until(() => listeners(port) === 1, "the older one to stop listening");
  third.send(OK);
  expect((await nextResponse(waiting)).field("connection")).toBe("close");
  second.send("67890");
  const whole = await nextResponse(begun);
  expect([whole.body, whole.field("connection")]).toEqual(["1234567890", "keep-alive"]);
  for (const one of [idle, begun]) {
    one.send(GET);
    const peer = await up.next();
    await peer.readUntil("\r\n\r\n");
    peer.send(OK);
    const again = await nextResponse(one);
    expect([again.status, again.field("connection")]).toEqual([200, "close"]);
    expect(await endOf(one)).toBe("fin");
  }
  expect(old.child.exitCode).toBe(null);
  // It could ask to the end of the drain.
  expect(await endOf(unused, 8000)).toBe("fin");
  expect(await within(old.exited, "the older one to end", 3000)).toBe(0);
}, 20_000);

test("a request that the older one holds is held on while it drains", async () => {
  const web = await deadPort();
  const { port, next } = await line("--http", String(web), "--drain", "4s");
  const old = await next();
  const ask = client(port);
  const answer = ask();
  await until(async () => old.log.length > 0 && (await statusOf(controlSocketOf(old))).held === 1, "it to be held");
  await next();
  await old.logged(({ msg }) => msg === "draining", "draining");
  await httpUpstream((_req, res) => res.end("at last"), web);
  expect((await within(answer, "an answer", 4000)).body).toBe("at last");
});

test("the address of --admin goes to the newer one at once, with the same options", async () => {
  const up = await rawUpstream();
  const admin = join(tempFolder(), "admin.sock");
  const { port, next } = await line("--http", String(up.port), "--drain", "10s", "--admin", `unix:${admin}`);
  const old = await next();
  const client = await dial(port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  await up.next();
  const newer = await next();
  await until(async () => (await statusOf(admin).catch(() => undefined))?.pid === newer.pid, "the admin address");
  expect(old.child.exitCode).toBe(null);
});

test("a signal to one that was taken over does not cut what it has in flight", async () => {
  const up = await rawUpstream();
  const { port, next } = await line("--http", String(up.port), "--drain", "10s");
  const old = await next();
  const client = await dial(port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  await next();
  await old.logged(({ msg }) => msg === "draining", "draining");
  old.child.kill("SIGTERM");
  await until(() => signalCaught(old.pid), "the signal to be delivered");
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  expect((await nextResponse(client)).body).toBe("ok");
  expect(await within(old.exited, "the older one to end", 4000)).toBe(0);
});

/** Is no signal pending? */
function signalCaught(pid: number): boolean {
  return /^ShdPnd:\s*0+$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

function controlSocketOf(daemon: TestDaemon): string {
  const runtime = /XDG_RUNTIME_DIR=([^\0]*)/.exec(readFileSync(`/proc/${daemon.pid}/environ`, "utf8"))?.[1] ?? "";
  return controlSocket({ XDG_RUNTIME_DIR: runtime }, daemon.port);
}
