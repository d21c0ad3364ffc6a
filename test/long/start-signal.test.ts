// A signal while the daemon starts: the daemon ends as politely as later, and leaves nothing behind.

import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { injected, launchDaemon } from "../kit/launch.ts";
import { accepts, controlSocket, ownRuntime } from "../kit/ops.ts";
import { deadPort } from "../kit/upstream.ts";
import { within } from "../kit/until.ts";

/** What is left of control sockets. */
function left(env: { XDG_RUNTIME_DIR: string }): string[] {
  try {
    return readdirSync(dirname(controlSocket(env, 0)));
  } catch {
    return [];
  }
}

test.each([
  ["SIGTERM", "listen"],
  ["SIGTERM", "listening"],
  ["SIGINT", "listen"],
  ["SIGINT", "listening"],
])("%s at `%s`: exit 0, and nothing is left", async (signal, moment) => {
  const port = await deadPort();
  const runtime = ownRuntime();
  const env = { ...runtime, ...injected("signals.mjs"), SIGNAL: signal, SIGNAL_AT: moment };
  const daemon = launchDaemon(["--http", "1", "--port", String(port)], env);
  expect(await within(daemon.exited, "exit", 10_000)).toBe(0);
  expect(daemon.stderr()).toBe("");
  expect(daemon.log().at(-1)?.msg).toBe("stopped");
  expect(await accepts(port)).toBe(false);
  expect(left(runtime)).toEqual([]);
});
