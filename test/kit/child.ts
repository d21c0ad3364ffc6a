// An upstream in its own process (children/server.mjs), which tests kill, stop and start again on the same port.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { cleanEnv } from "./daemon.ts";
import { until, within } from "./until.ts";

const SCRIPT: string = fileURLToPath(new URL("children/server.mjs", import.meta.url));

/** A server process that can be started again and again on one port. */
export interface ChildServer {
  readonly port: number;
  readonly process: ChildProcess;
  /** The command that starts it, for a shell. */
  readonly command: string;
  start(): Promise<void>;
  /** Sends a signal; resolves when the process has ended. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** The ids of all POSTs that the server has acted on, in order, over all restarts. */
  acted(): string[];
}

/** A folder for this test. */
export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "single-port-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts one on a free port (or on `port`); it is killed with the test. */
export async function childServer(port = 0): Promise<ChildServer> {
  const journal = join(tempFolder(), "acted");
  let bound = port;
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const started = spawn(process.execPath, [SCRIPT, String(bound), journal], {
      env: cleanEnv(),
      stdio: ["ignore", "pipe", "inherit"],
    });
    child = started;
    let output = "";
    started.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    const said = await until(() => /^listening (\d+)/m.exec(output), "the child to listen", 10_000);
    bound = Number(said[1]);
  };
  const kill = async (signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
    const { process: dying } = server;
    if (dying.exitCode !== null || dying.signalCode !== null) return;
    const ended = new Promise((resolve) => dying.once("exit", resolve));
    dying.kill(signal);
    await within(ended, `the child to end after ${signal}`, 5000);
  };
  const server: ChildServer = {
    get port() {
      return bound;
    },
    get process() {
      if (!child) throw new Error("not started");
      return child;
    },
    get command() {
      return `exec '${process.execPath}' '${SCRIPT}' ${bound} '${journal}'`;
    },
    start,
    kill,
    signal: (signal) => void server.process.kill(signal),
    acted: () => {
      try {
        return readFileSync(journal, "utf8").split("\n").slice(0, -1);
      } catch {
        return [];
      }
    },
  };
  await start();
  onTestFinished(() => kill());
  return server;
}

/**
 * A port that does not even answer a connect, as behind a firewall that drops: the accept backlog of a stopped
 * process, filled.
 */
export async function silentUpstream(): Promise<{ port: number }> {
  const script = `const s = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 },
    () => process.stdout.write("listening " + s.address().port + "\\n"))`;
  const child = spawn(process.execPath, ["-e", script], { env: cleanEnv(), stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  const port = Number((await until(() => /^listening (\d+)/m.exec(output), "the child to listen", 10_000))[1]);
  child.kill("SIGSTOP");
  await until(() => / T /.test(readFileSync(`/proc/${child.pid}/stat`, "utf8")), "the child to be stopped");
  // Linux lets one more than the backlog in.
  for (let i = 0; i < 2; i++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    onTestFinished(() => void socket.destroy());
    await within(new Promise((resolve) => socket.once("connect", resolve)), "a connect within the backlog");
  }
  return { port };
}
