// The built daemon as a child process, as people run it. It stops itself when the test ends.

import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { askControl, controlPaths } from "../../src/ops/control.ts";
import { atEnd } from "./lifetime.ts";
import { until, within } from "./until.ts";

/** The file that `npx single-port` runs. */
export const BIN: string = fileURLToPath(new URL("../../bin/single-port.js", import.meta.url));
/** The node that runs the daemon: another version with SINGLE_PORT_TEST_NODE. */
export const NODE: string = process.env["SINGLE_PORT_TEST_NODE"] ?? process.execPath;

/**
 * What the daemons of a run have in their environment besides, NODE_OPTIONS for example; JSON
 * (test/long/environment.test.ts).
 */
const AROUND = JSON.parse(process.env["SINGLE_PORT_TEST_ENVIRONMENT"] ?? "{}") as Record<string, string>;

/** One line of the log. */
export type LogLine = Record<string, unknown> & { level: number; msg: string };

/** A running daemon. */
export interface TestDaemon {
  child: ChildProcess;
  pid: number;
  port: number;
  /** Lines logged so far; it only grows. */
  log: LogLine[];
  /** What came on stderr. */
  stderr(): string;
  /** The first line that matches, waited for. */
  logged(matches: (line: LogLine) => boolean, what: string, ms?: number): Promise<LogLine>;
  /** Resolves with the exit code (or signal) once it has ended. */
  exited: Promise<number | string>;
  /** Open sockets of the process, by /proc. */
  sockets(): number;
  /** The same, after the control socket was made, which comes after the log line for which startDaemon() waits. */
  settledSockets(): Promise<number>;
  /** Bytes from this port of a client that the daemon has not read yet, by /proc. */
  unread(clientPort: number): number;
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number | string>;
}

/** Log lines at level error or above, other than those of a lost upstream: faults of the daemon itself. */
export function faultsIn(log: readonly LogLine[]): LogLine[] {
  return log.filter((line) => line.level > 40 && line["state"] === undefined);
}

/** Environment without what would configure the daemon by accident. */
export function cleanEnv(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...extra };
  for (const name of Object.keys(env)) {
    if (name in extra) continue;
    if (
      name.startsWith("SINGLE_PORT_") ||
      /^(PORT|HOST|NEXT_INTERNAL_PORT|DIRECT_TERMINAL_PORT|NODE_OPTIONS)$/.test(name)
    ) {
      delete env[name];
    }
  }
  return env;
}

/**
 * Starts the daemon on a free port; resolves when it listens. Logs every exchange, so that tests can look at outcomes.
 *
 * @param args options after `--port 0 --access-log --probe-interval 0`; a later one wins.
 * @param prefix a command that runs it, like `nsenter`; it has to become the daemon (exec), so that the pid is its own.
 */
export async function startDaemon(
  args: string[],
  env: Record<string, string> = {},
  prefix: string[] = [],
): Promise<TestDaemon> {
  // No probes by default: raw upstreams count the connections they get.
  const own = ["--port", "0", "--access-log", "--log-format", "json", "--probe-interval", "0"];
  const words = [...prefix, NODE, BIN, ...own, ...args];
  const child = spawn(words[0] as string, words.slice(1), {
    env: cleanEnv({ ...AROUND, ...env }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log: LogLine[] = [];
  let stderr = "";
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") log.push(JSON.parse(line) as LogLine);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  const pid = child.pid ?? 0;
  const daemon: TestDaemon = {
    child,
    pid,
    port: 0,
    log,
    exited,
    stderr: () => stderr,
    logged: (matches, what, ms) => until(() => log.find(matches), `log line: ${what}`, ms),
    sockets: () => openSockets(pid),
    settledSockets: async () => {
      // It is bound to a name of its own first (ops/control.ts).
      const control = `/${daemon.port}.${pid}.tmp`;
      await until(() => readFileSync(`/proc/${pid}/net/unix`, "latin1").includes(control), "control socket");
      return openSockets(pid);
    },
    unread: (clientPort) => unreadBytes(pid, daemon.port, clientPort),
    stop: () => {
      child.kill("SIGTERM");
      return within(exited, "daemon to stop after SIGTERM", 8000);
    },
  };
  atEnd(async () => {
    child.kill("SIGKILL");
    await exited;
    // It could not take it away, and whoever lists the control sockets of this user would ask all that ever were.
    if ("XDG_RUNTIME_DIR" in env) return;
    for (const control of controlPaths(daemon.port)) {
      if (!(await askControl(control, "GET", "/live"))) rmSync(control, { force: true });
    }
  });
  const ready = daemon.logged((line) => line.msg.startsWith("listening on"), "listening", 10_000);
  const early = exited.then((code) => {
    throw new Error(`daemon ended with ${code} before it listened: ${stderr}`);
  });
  const line = await Promise.race([ready, early]);
  daemon.port = Number(/^listening on (\d+)/.exec(line.msg)?.[1]);
  return daemon;
}

/** Bytes in the kernel's receive queue, of the connection between two ports in the process's network (proc_net_tcp). */
function unreadBytes(pid: number, port: number, peerPort: number): number {
  const hex = (n: number): string => n.toString(16).toUpperCase().padStart(4, "0");
  return Number.parseInt(queuesOf(pid).get(`${hex(port)} ${hex(peerPort)}`) ?? "0", 16);
}

/** ` 0: 0100007F:0BB8 0100007F:C350 01 00000000:0000002A `: both ports, the state, the queues to send and to read. */
const CONNECTION = /:([\dA-F]{4}) [\dA-F]+:([\dA-F]{4}) \w\w \w{8}:(\w{8})/g;
let queues: { pid: number; unread: Map<string, string> } | undefined;

/** All receive queues, read once for all that ask in the same turn: the table may have tens of thousands of lines. */
function queuesOf(pid: number): Map<string, string> {
  if (queues?.pid !== pid) {
    const unread = new Map<string, string>();
    const table = readFileSync(`/proc/${pid}/net/tcp`, "latin1");
    for (const [, local = "", remote = "", bytes = ""] of table.matchAll(CONNECTION)) {
      // Most lines are of connections that have closed (TIME_WAIT), and have nothing.
      if (bytes !== "00000000") unread.set(`${local} ${remote}`, bytes);
    }
    queues = { pid, unread };
    setImmediate(() => (queues = undefined));
  }
  return queues.unread;
}

/** Counts the sockets a process has open. */
export function openSockets(pid: number): number {
  let count = 0;
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:")) count += 1;
    } catch {
      // Closed between the two calls.
    }
  }
  return count;
}
