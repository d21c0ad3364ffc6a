// OpenClaw's gateway behind the README's recipe. 650 MB from npm, and half a minute for each start: run on demand by
// `npm run test:heavy`.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { tempFolder } from "../kit/child.ts";
import { head } from "../kit/client.ts";
import { run } from "../kit/command.ts";
import { BIN, cleanEnv, NODE, startDaemon } from "../kit/daemon.ts";
import { launch } from "../kit/launch.ts";
import { ask } from "../kit/messages.ts";
import { fromNpm } from "../kit/npm.ts";
import { readmeBlock, substitute } from "../kit/readme.ts";
import { until, within } from "../kit/until.ts";
import { deadPort } from "../kit/upstream.ts";

/** OpenClaw asks for a newer Node than this one may be. */
const RUNTIME = `node-${process.platform}-${process.arch}`;
const START_MS = 90_000;
const { folder, missing } = process.env["SINGLE_PORT_TEST_HEAVY"]
  ? await fromNpm("openclaw", { openclaw: "2026.9.6", [RUNTIME]: "24.21.0" })
  : { folder: "", missing: "650 MB; run `npm run test:heavy`" };

const FRONT = "X-Forwarded-For: 203.0.113.7";
const TOKEN = "open sesame";

/** The command `openclaw` of a machine of its own, where the README's configuration lies. */
function openclaw(port: number): { env: NodeJS.ProcessEnv; gateways: () => number[] } {
  const home = tempFolder();
  const bin = join(home, "bin");
  const pids = join(home, "pids");
  mkdirSync(join(home, ".openclaw"));
  mkdirSync(bin);
  const config = substitute(readmeBlock("json", "trustedProxies"), { "18789": String(port), TOKEN });
  writeFileSync(join(home, ".openclaw/openclaw.json"), config);
  const command = `exec '${folder}/node_modules/${RUNTIME}/bin/node' '${folder}/node_modules/openclaw/openclaw.mjs' "$@"`;
  const note = `case "$*" in "gateway run") echo $$ >>'${pids}';; esac`;
  writeFileSync(join(bin, "openclaw"), `#!/bin/sh\n${note}\n${command}\n`);
  chmodSync(join(bin, "openclaw"), 0o755);
  const gateways = (): number[] => (existsSync(pids) ? readFileSync(pids, "utf8").trim().split("\n").map(Number) : []);
  onTestFinished(() => {
    for (const pid of gateways()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended already.
      }
    }
  });
  const NODE_OPTIONS = `--import=${new URL("../kit/injected/dies.mjs", import.meta.url).href}`;
  // Under a test runner it would be silent.
  const outside = Object.entries(cleanEnv()).filter(([name]) => !/^(VITEST|NODE_ENV|TEST)/.test(name));
  const own = { HOME: home, PATH: `${bin}:${process.env["PATH"]}`, SINGLE_PORT_TEST_DIED: join(home, "died") };
  return { env: { ...Object.fromEntries(outside), ...own, NODE_OPTIONS }, gateways };
}

const title = missing === undefined ? "OpenClaw's gateway" : `OpenClaw's gateway (skipped: ${missing})`;
test.skipIf(missing)(title, { timeout: 300_000 }, async () => {
  const port = await deadPort();
  const { env, gateways } = openclaw(port);
  const gateway = launch("openclaw", ["gateway", "run"], { env, cwd: env["HOME"] });
  // The recipe as it is printed, by a shell; only the ports and the name of the command are this machine's.
  const recipe = substitute(readmeBlock("sh", "openclaw gateway run"), {
    "single-port --port 3000": `exec '${NODE}' '${BIN}' --port 0 --log-format json --access-log --probe-interval 1s`,
    "18789": String(port),
  });
  const daemon = launch("sh", ["-c", recipe], { env: { ...env, NODE_OPTIONS: "" }, cwd: env["HOME"] });
  const here = await daemon.port();
  const answer = async (at: number, path: string, ...fields: string[]): Promise<number> =>
    (await ask(at, head(`GET ${path} HTTP/1.1`, "Host: dash.example.org", ...fields), START_MS)).status;
  await until(
    async () => (await answer(here, "/ready")) === 200,
    () => `the gateway to be ready; ${gateway.stdout()}${gateway.stderr()}`,
    START_MS,
  );

  // What the recipe is for: as it comes, the proxy says that the client is 127.0.0.1.
  const plain = await startDaemon(["--http", String(port)]);
  expect([await answer(plain.port, "/"), await answer(plain.port, "/", FRONT)]).toEqual([403, 200]);
  expect([await answer(here, "/"), await answer(here, "/", FRONT)]).toEqual([200, 200]);
  // Its own client, over a WebSocket.
  const call = ["gateway", "call", "health", "--token", TOKEN, "--url", `ws://127.0.0.1:${here}`];
  const health = await run("openclaw", call, { env, cwd: env["HOME"] }, START_MS);
  expect([health.code, health.stdout], health.stderr).toEqual([0, expect.stringContaining('"ok": true')]);

  // It dies of a request; the proxy starts it again, and that request is answered.
  const socket = new WebSocket(`ws://127.0.0.1:${here}/`);
  onTestFinished(() => socket.terminate());
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  const challenge = await within(new Promise((resolve) => socket.once("message", resolve)), "its first frame", 10_000);
  expect(String(challenge)).toContain("connect.challenge");
  const began = performance.now();
  expect(await answer(here, "/die")).toBe(200);
  process.stdout.write(`OpenClaw was back after ${Math.round(performance.now() - began)} ms\n`);
  expect(await within(closed, "the Close")).toBe(1012);
  expect(gateways()).toHaveLength(2);
  const line = await daemon.logged(({ path }) => path === "/die", "the request");
  expect(line).toMatchObject({
    status: 200,
    attempts: expect.arrayContaining([expect.objectContaining({ code: "ECONNRESET" })]) as unknown,
  });
  expect(daemon.log().filter(({ msg }) => msg === "running the --on-down command")).toHaveLength(1);
});
