// Child processes of the bench: whatever is started here ends with the bench, on Ctrl-C and on an error too.

import { execFile, fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
/** @type {string | undefined} */
let folder;

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  if (folder) rmSync(folder, { recursive: true, force: true });
});
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
  process.on(signal, () => process.exit(130));

/** A folder for what the peers write; removed at the end. */
export function scratch() {
  folder ??= mkdtempSync(join(tmpdir(), "single-port-bench-"));
  return folder;
}

/** @param {import("node:child_process").ChildProcess} child */
function keep(child) {
  running.add(child);
  child.once("exit", () => running.delete(child));
  child.on("error", () => running.delete(child));
  return child;
}

/**
 * The environment without what would configure a proxy by accident, or slow every start of node down by as much again
 * (node 20 reads NODE_EXTRA_CA_CERTS before anything else: half of the ratio to `node -e 0` would be that file).
 */
function cleanEnv(extra = /** @type {Record<string, string>} */ ({})) {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, ...extra };
  for (const name of Object.keys(env)) {
    const known = /^(SINGLE_PORT_.*|PORT|HOST|NEXT_INTERNAL_PORT|DIRECT_TERMINAL_PORT|NODE_.*)$/;
    if (!(name in extra) && known.test(name)) delete env[name];
  }
  return env;
}

/** A command that was started, and what it wrote.
 * @typedef {{ pid: number, child: import("node:child_process").ChildProcess, output: () => string }} Started */

/**
 * @param {string} command
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @returns {Started}
 */
export function start(command, args, env = {}) {
  const child = keep(spawn(command, args, { cwd: scratch(), env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] }));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text) => (output = (output + text).slice(0, 10_000)));
  }
  return { pid: child.pid ?? 0, child, output: () => output };
}

/**
 * A module of the bench in a process of its own, which is asked by messages and ends with this one.
 *
 * @param {URL} module
 * @param {string[]} [args]
 */
export function startModule(module, args = []) {
  return keep(fork(module, args, { env: cleanEnv(), execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] }));
}

/**
 * The next message of a process; rejects when it ends, or says nothing for `ms`.
 *
 * @param {import("node:child_process").ChildProcess} child
 * @param {number} ms
 * @returns {Promise<any>}
 */
export function message(child, ms) {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      child.off("message", heard);
      child.off("exit", gone);
    };
    const heard = (/** @type {any} */ said) => {
      over();
      if (said.failed === undefined) resolve(said);
      else reject(new Error(said.failed));
    };
    const gone = () => {
      over();
      reject(new Error("a process of the bench ended early"));
    };
    const timer = setTimeout(() => {
      over();
      reject(new Error(`no answer within ${ms} ms`));
    }, ms);
    child.on("message", heard);
    child.once("exit", gone);
  });
}

/** Ends a process and waits until it is gone. @param {import("node:child_process").ChildProcess} child */
export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

/** A port that was free a moment ago, for programs that cannot pick one. @returns {Promise<number>} */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Resolves when a port accepts; rejects after 10 s. @param {number} port */
export async function accepts(port) {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const there = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (there) return;
    if (performance.now() > deadline) throw new Error(`nobody listens on ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Resolves with the match as soon as a command has written what matches; rejects after 10 s.
 *
 * @param {Started} started
 * @param {RegExp} wanted
 * @returns {Promise<RegExpExecArray>}
 */
export function written({ child, output }, wanted) {
  return new Promise((resolve, reject) => {
    const failed = () => {
      clearTimeout(timer);
      reject(new Error(`${child.spawnargs.join(" ")} did not start: ${output().slice(-500)}`));
    };
    const timer = setTimeout(failed, 10_000);
    const look = () => {
      const match = wanted.exec(output());
      if (!match) return;
      clearTimeout(timer);
      child.off("close", failed);
      child.stdout?.off("data", look);
      resolve(match);
    };
    child.once("close", failed);
    child.stdout?.on("data", look);
    look();
  });
}

/**
 * Waits until a command has ended by itself; resolves with what it wrote.
 *
 * @param {Started} started
 * @param {number} ms
 */
export async function finished({ child, output }, ms) {
  const timer = setTimeout(() => child.kill("SIGKILL"), ms);
  const code = await new Promise((resolve) => child.once("close", resolve));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${child.spawnfile} ended with ${code}: ${output().slice(-500)}`);
  return output();
}

const execute = promisify(execFile);

/**
 * What a command says of itself; undefined when it is not there.
 *
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<string | undefined>}
 */
export async function ask(command, args) {
  try {
    const { stdout, stderr } = await execute(command, args, { timeout: 5000 });
    return stdout + stderr;
  } catch (error) {
    const { code, stdout = "", stderr = "" } = /** @type {any} */ (error);
    return code === "ENOENT" ? undefined : stdout + stderr;
  }
}
