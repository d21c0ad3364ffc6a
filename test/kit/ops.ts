// Helpers for tests of operation: ask the admin address or the control socket, start the daemon with any stdout.

import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { request, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Report } from "../../src/ops/report.ts";
import { tempFolder } from "./child.ts";
import { BIN, cleanEnv, NODE } from "./daemon.ts";
import { until, within } from "./until.ts";

/** An environment whose control sockets are in a folder of this test's own. */
export function ownRuntime(): { XDG_RUNTIME_DIR: string; TMPDIR: string } {
  const folder = tempFolder();
  // Who finds none in the first looks in the second, too.
  return { XDG_RUNTIME_DIR: folder, TMPDIR: folder };
}

/** Where the control socket of a port is. */
export function controlSocket(env: { XDG_RUNTIME_DIR: string }, port: number): string {
  return join(env.XDG_RUNTIME_DIR, `single-port-${process.getuid?.()}`, `${port}.sock`);
}

/** An answer. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Asks a port on loopback, or a unix socket. */
export async function ask(at: number | string, path: string, method = "GET"): Promise<Answer> {
  const where = typeof at === "number" ? { host: "127.0.0.1", port: at } : { socketPath: at };
  const answer = new Promise<Answer>((resolve, reject) => {
    const asked = request({ ...where, path, method, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    asked.on("error", reject);
    asked.end();
  });
  return await within(answer, `${method} ${path} on ${at}`);
}

/** What /status says. */
export async function statusOf(at: number | string): Promise<Report> {
  return JSON.parse((await ask(at, "/status")).body) as Report;
}

/** Resolves with the exit code, or the signal. */
export function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
}

/** Starts the daemon on a port, with any stdout; resolves when it accepts. `startDaemon` is for all other cases. */
export async function launch(
  port: number,
  args: string[],
  stdio: StdioOptions,
  env: Record<string, string> = {},
): Promise<{ child: ChildProcess; exited: Promise<number | string> }> {
  const child = spawn(NODE, [BIN, "--port", String(port), ...args], { env: cleanEnv(env), stdio });
  const exited = exitOf(child);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  await until(() => accepts(port), `port ${port} to accept`, 10_000);
  return { child, exited };
}

/** Does anybody accept connections on this port? */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
