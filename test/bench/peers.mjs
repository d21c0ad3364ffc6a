// The proxies that single-port is compared with: how each is started in front of an upstream, and which are installed.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ask, freePort, scratch, start, startModule, message, written } from "./children.mjs";
import { AO_SERVER, CACHE, versionOf } from "./fetch.mjs";
import { programs, startProgram } from "./servers/native.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** The name of the peer that is another build of the same. */
export const OTHER_BUILD = "other build";
const PROXIES = fileURLToPath(new URL("servers/proxies.mjs", import.meta.url));
const LOOPBACK = fileURLToPath(new URL("servers/loopback.cjs", import.meta.url));

/** A peer that runs.
 * @typedef {{ name: string, pid: number, port: number, child: import("node:child_process").ChildProcess }} Peer */

/** @param {string[]} args @param {Record<string, string>} [env] */
async function startNode(args, env) {
  const started = start(process.execPath, args, env);
  const port = Number((await written(started, /listening on (\d+)/))[1]);
  return { ...started, port };
}

/** The proxy itself, with everything on that is on by default, and room for the 5,000.
 * @param {number} upstream @param {string} [root] */
function singlePort(upstream, root = ROOT) {
  const room = ["--max-connections", "8000", "--max-tunnels", "8000"];
  const targets = ["--http", String(upstream), "--mux", `${upstream}/mux`];
  // It is killed, and would leave its control socket behind each time.
  const env = { XDG_RUNTIME_DIR: scratch() };
  return startNode([`${root}bin/single-port.js`, "--port", "0", "--log-format", "json", ...targets, ...room], env);
}

/** As agent-orchestrator starts it. @param {number} upstream */
async function agentOrchestrator(upstream) {
  const behind = String(upstream);
  const env = { PORT: String(await freePort()), NEXT_INTERNAL_PORT: behind, DIRECT_TERMINAL_PORT: behind };
  return await startNode(["--require", LOOPBACK, AO_SERVER], env);
}

/**
 * @type {Record<string, (upstream: number) => Promise<{ pid: number, port: number, child:
 * import("node:child_process").ChildProcess }>>}
 */
const starts = {
  "single-port": (upstream) => singlePort(upstream),
  "agent-orchestrator": agentOrchestrator,
};
for (const name of ["http-proxy", "httpxy", "http-proxy-3", "@fastify/http-proxy", "pipe", "ws relay"]) {
  starts[name] = (upstream) => startNode([PROXIES, name, String(upstream)]);
}
for (const name of Object.keys(programs)) starts[name] = (upstream) => startProgram(name, upstream);

/** Another build of single-port as a peer, to see what a change does. @param {string} folder */
export function compareWith(folder) {
  starts[OTHER_BUILD] = (upstream) => singlePort(upstream, `${resolve(folder)}/`);
}

/** @param {string} name @param {number} upstream @returns {Promise<Peer>} */
export async function startPeer(name, upstream) {
  const begin = starts[name];
  if (!begin) throw new Error(`no peer ${name}. Accepted: ${Object.keys(starts).join(", ")}`);
  return { name, ...(await begin(upstream)) };
}

/** What all stand in front of. */
export async function startUpstream() {
  const child = startModule(new URL("servers/upstream.mjs", import.meta.url));
  const { port } = await message(child, 10_000);
  return { child, port: /** @type {number} */ (port) };
}

/** Peers that are here, with their versions. @returns {Promise<Map<string, string>>} */
export async function versions() {
  /** @type {Map<string, string>} */
  const found = new Map();
  found.set("single-port", JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")).version);
  found.set("http-proxy", versionOf(ROOT, "http-proxy"));
  found.set("agent-orchestrator", "0.9.5");
  for (const name of ["httpxy", "http-proxy-3", "@fastify/http-proxy"]) found.set(name, versionOf(CACHE, name));
  found.set("pipe", process.version);
  found.set("ws relay", versionOf(ROOT, "ws"));
  for (const [name, { command, version }] of Object.entries(programs)) {
    const said = await ask(command, version);
    if (said !== undefined) found.set(name, /\d+\.\d+\.\d+/.exec(said)?.[0] ?? "");
  }
  return found;
}
