import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Server } from "node:net";
import { expect, test } from "vitest";
import { retire } from "../../src/life/retire.ts";
import { atEnd } from "../kit/lifetime.ts";
import { until, within } from "../kit/until.ts";

const LISTENS = `const server = require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 });
server.on("listening", () => console.log(server.address().port));`;

/** The port of a process that is frozen and whose accept queue is full: whoever connects hears nothing. */
async function deafPort(): Promise<number> {
  const child = spawn(process.execPath, ["-e", LISTENS], { stdio: ["ignore", "pipe", "inherit"] });
  atEnd(() => void child.kill("SIGKILL"));
  const port = await new Promise<number>((resolve) => child.stdout.once("data", (text) => resolve(Number(text))));
  child.kill("SIGSTOP");
  await until(() => readFileSync(`/proc/${child.pid}/stat`, "utf8").includes(") T "), "it to be frozen");
  // Two fit in; the last one tells that no more do.
  const sockets = Array.from({ length: 8 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  atEnd(() => sockets.forEach((socket) => socket.destroy()));
  await until(() => sockets.filter((socket) => !socket.connecting).length === 2, "a full queue");
  return port;
}

test.skipIf(process.platform !== "linux")("a way to its own port that leads nowhere delays no closing", async () => {
  const port = await deafPort();
  const server = Object.assign(new EventEmitter(), {
    listening: true,
    address: () => ({ address: "127.0.0.1", family: "IPv4", port }),
    _handle: { listen: () => 0 },
  });
  const close = (): void => void (server.listening = false);
  const retired = retire(server as unknown as Server, { shared: true, alone: false, close, withinMs: 200 });
  await within(retired, "the end", 4000);
  expect(server.listening).toBe(false);
});
