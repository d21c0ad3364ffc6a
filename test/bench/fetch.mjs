// The peers that are no dependency of ours: installed once into .test-bench/, which git ignores.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ask } from "./children.mjs";

/** Where they are. */
export const CACHE = fileURLToPath(new URL("../../.test-bench/", import.meta.url));
const AO_WEB = "@aoagents/ao-web@0.9.5";
const NODE_MAJOR = Number(process.versions.node.split(".")[0]);

/** @type {Record<string, string>} */
const wanted = {
  httpxy: "0.5.6",
  // 2.x asks for Node 22.
  "http-proxy-3": NODE_MAJOR >= 22 ? "2.0.1" : "1.23.3",
  "@fastify/http-proxy": "11.6.3",
  fastify: "5.12.8",
};

const execute = promisify(execFile);
/** @param {string} command @param {string[]} args */
const run = (command, args) => execute(command, args, { cwd: CACHE, timeout: 180_000 });

/** Installs what is missing. Never runs a script of a package. */
export async function fetchPeers() {
  mkdirSync(CACHE, { recursive: true });
  if (!(await ask("wrk", ["-v"]))) wanted["autocannon"] = "8.0.0";
  const manifest = `${JSON.stringify({ private: true, dependencies: wanted }, undefined, 2)}\n`;
  const file = `${CACHE}package.json`;
  const known = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (known !== manifest || !existsSync(`${CACHE}node_modules`)) {
    process.stderr.write(`installing ${Object.keys(wanted).join(", ")} into .test-bench\n`);
    writeFileSync(file, manifest);
    await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]);
  }
  if (!existsSync(AO_SERVER)) {
    process.stderr.write(`fetching ${AO_WEB} into .test-bench\n`);
    const { stdout } = await run("npm", ["pack", "--silent", AO_WEB]);
    const archive = stdout.trim().split("\n").at(-1) ?? "";
    await run("tar", ["-xzf", archive, "package/package.json", "package/dist-server/single-port-server.js"]);
  }
}

/** agent-orchestrator's server, the one that is replaced. */
export const AO_SERVER = `${CACHE}package/dist-server/single-port-server.js`;

/** The version of an installed package. @param {string} folder @param {string} name */
export function versionOf(folder, name) {
  return JSON.parse(readFileSync(`${folder}node_modules/${name}/package.json`, "utf8")).version;
}
