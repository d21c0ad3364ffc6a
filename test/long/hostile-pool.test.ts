// Servers that end idle connections at random, and lie about it: what becomes of GETs and POSTs through a pool of
// those.

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { startSinglePort } from "../../dist/index.js";
import type { Outcome } from "../../src/core/outcome.ts";
import { cleanEnv } from "../kit/daemon.ts";
import { client } from "../kit/load.ts";
import { until } from "../kit/until.ts";

vi.setConfig({ testTimeout: 240_000 });

/** Each is caught once at most, so there are many of them. */
const LIARS = 16;
const LANES = 6;
/** A GET and a POST each, for one of them: 5,000 of either come together. */
const PAIRS = 40;
const SMALL = "b".repeat(100);
const LARGE = "b".repeat(10 * 1024);

interface Kind {
  promises: boolean;
  ends: "close" | "half-close" | "reset";
}

/** The process in which the liars live. */
class Liars {
  readonly #child = fork(fileURLToPath(new URL("../kit/peers/liars.mjs", import.meta.url)), { env: cleanEnv() });

  constructor() {
    onTestFinished(() => void this.#child.kill("SIGKILL"));
  }

  async #ask(message: { kind: Kind } | { port: number }): Promise<{ port?: number; acted?: Record<string, number> }> {
    const answer = once(this.#child, "message");
    this.#child.send(message);
    return ((await answer) as [{ port?: number; acted?: Record<string, number> }])[0];
  }

  async begin(kind: Kind): Promise<number> {
    return (await this.#ask({ kind })).port ?? 0;
  }

  /** How often one acted on each POST. */
  async acted(port: number): Promise<Record<string, number>> {
    return (await this.#ask({ port })).acted ?? {};
  }
}

/** The clocks of a line and of its duration are two. */
const CLOCK_MS = 5;

/** A line of the log. */
type Line = Outcome & { time: number };

/** What one liar did. */
interface Done {
  /** POSTs that were not answered by it: how each ended. */
  lost: Line[];
  pooled: number;
}

/** So many GETs and as many POSTs through one proxy to one liar, on several connections. */
async function play(liars: Liars, kind: Kind, { pairs, body }: { pairs: number; body: string }): Promise<Done> {
  const port = await liars.begin(kind);
  const ended = new Map<string, Line>();
  let pooled = 0;
  const write = (line: string): void => {
    const outcome = JSON.parse(line) as Line;
    if (outcome.method !== "POST") return;
    ended.set(outcome.path, outcome);
    if (outcome.attempts[0]?.reused) pooled += 1;
  };
  const proxy = await startSinglePort({ port: 0, http: port, probeInterval: 0 }, pino({ level: "debug" }, { write }));
  onTestFinished(() => proxy.close());
  const ask = client(proxy.address.port, LANES);
  const headers = { "Content-Length": String(body.length) };
  const statuses = new Map<string, number>();
  let begun = 0;
  const lane = async (): Promise<void> => {
    while (begun < pairs) {
      const path = `/p${begun++}`;
      expect(await ask()).toMatchObject({ status: 200, body: "ok" });
      const answer = await ask({ method: "POST", path, headers: { ...headers, "X-Id": path }, body });
      statuses.set(path, answer.status);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await until(() => ended.size === pairs, "all lines of the log", 60_000);
  const acted = await liars.acted(port);
  for (const [path, status] of statuses) {
    expect([200, 502]).toContain(status);
    if (status === 200) expect(acted[path], `${path} was answered`).toBe(1);
    else expect(acted[path] ?? 0, `${path} was not answered`).toBeLessThanOrEqual(1);
  }
  const lost = [...statuses].filter(([, status]) => status !== 200).map(([path]) => ended.get(path) as Line);
  return { lost, pooled };
}

test.each([
  { ends: "close", promises: true, body: SMALL },
  { ends: "close", promises: true, body: LARGE },
  { ends: "half-close", promises: true, body: SMALL },
  { ends: "half-close", promises: true, body: LARGE },
  { ends: "reset", promises: true, body: SMALL },
  { ends: "reset", promises: true, body: LARGE },
  { ends: "close", promises: false, body: SMALL },
  { ends: "reset", promises: false, body: SMALL },
] as const)(
  "idle connections that a server ends with a $ends, promised: $promises, POSTs of $body.length bytes",
  async (kind) => {
    const liars = new Liars();
    const done: Done[] = [];
    for (let i = 0; i < LIARS; i++) done.push(await play(liars, kind, { pairs: PAIRS, body: kind.body }));
    for (const { lost } of done) {
      // Once this server is known to be a liar, none is lost any more: those were on their way at that time.
      const caught = Math.min(...lost.map(({ time }) => time));
      for (const { time, ms } of lost) expect(time - ms).toBeLessThanOrEqual(caught + CLOCK_MS);
      for (const { attempts, how } of lost) {
        // Without a proof it is told, and not tried again.
        expect(attempts).toEqual([
          { reused: true, idleMs: expect.any(Number), code: "ECONNRESET", phase: "waiting", times: 1 },
        ]);
        // A close is a RST if a request waits unread. If it is a FIN, it has lost nothing.
        if (kind.ends === "close") expect(how).toBe("rst");
      }
    }
    const pooled = done.reduce((sum, one) => sum + one.pooled, 0);
    if (kind.promises) expect(pooled, "POSTs on pooled connections").toBeGreaterThan(LIARS);
    else expect([pooled, ...done.flatMap(({ lost }) => lost)]).toEqual([0]);
  },
);
