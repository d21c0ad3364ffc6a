// Thousands of resets in a few seconds: how many lines the log has of them, and that other clients notice nothing.

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { tempFolder } from "../kit/child.ts";
import { NODE, type LogLine } from "../kit/daemon.ts";
import { launch, ownRuntime } from "../kit/ops.ts";
import { until } from "../kit/until.ts";
import { deadPort, httpUpstream } from "../kit/upstream.ts";

const STORM = fileURLToPath(new URL("../kit/storm.mjs", import.meta.url));

/** Median latency of small requests, one after the other, until `over`. */
async function medianLatency(port: number, over: () => boolean): Promise<number> {
  const client = await dial(port);
  const times: number[] = [];
  let at = 0;
  while (!over()) {
    const started = performance.now();
    client.send(head("GET /probe HTTP/1.1", "Host: a"));
    at = (await client.readUntil(new RegExp(`^[^]{${at}}[^]*answer`), 5000)).length;
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[times.length >> 1] ?? Infinity;
}

function linesOf(log: string): LogLine[] {
  const lines = readFileSync(log, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as LogLine);
}

test("10,000 client resets are fewer than 200 lines, all counted, and other requests stay quick", async () => {
  const storm = spawn(NODE, [STORM], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void storm.kill("SIGKILL"));
  const said: string[] = [];
  storm.stdout.on("data", (text: Buffer) => said.push(text.toString().trim()));
  const mux = await until(() => said[0], "the port of the mux", 5000);
  const web = await httpUpstream((_req, res) => res.end("answer"));
  const port = await deadPort();
  const log = join(tempFolder(), "log");
  const out = openSync(log, "w");
  const args = ["--http", String(web.port), "--mux", `${mux}/mux`, "--log-format", "json"];
  const { child, exited } = await launch(port, args, ["ignore", out, "inherit"], ownRuntime());
  closeSync(out);

  const began = performance.now();
  const before = await medianLatency(port, () => performance.now() - began > 1000);
  storm.stdin.write(`${port} 2000 5000`);
  const during = await medianLatency(port, () => said.length > 1);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);

  const lines = linesOf(log);
  expect(lines.length).toBeLessThan(200);
  const resets = lines.filter(({ by, how }) => by === "client" && how === "rst");
  const left = lines
    .filter(({ kind }) => kind === "client rst")
    .reduce((sum, line) => sum + Number(line["dropped"]), 0);
  expect(resets.length).toBeGreaterThanOrEqual(10);
  expect(resets.length + left).toBe(Number(said[1]));
  // Fewer than 10,000 on a machine that cannot do them in 5 s.
  expect(resets.length + left).toBeGreaterThan(1000);
  // The storm's two ends share the cores with the proxy: where there are few of them, some milliseconds are theirs.
  expect(during).toBeLessThan(Math.max(2 * before, before + 40));
}, 30_000);
