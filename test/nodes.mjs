// Runs the end-to-end tests with the daemon under each node it has to work on: `npm run test:nodes`, or `npm run
// test:nodes -- 22 26 reset-before-101` for some. The binaries come from npm's `node` package, into .test-nodes/.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const VERSIONS = ["20", "22", "24", "25.9.0", "26"];

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));

/** The binary of a version, installed if it is not there yet; undefined if that fails. */
function binaryOf(version) {
  const folder = fileURLToPath(new URL(`../.test-nodes/${version}`, import.meta.url));
  const binary = `${folder}/node_modules/node/bin/node`;
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    const args = ["install", "--no-save", "--no-audit", "--no-fund", "--prefix", folder, `node@${version}`];
    spawnSync("npm", args, { stdio: "inherit", cwd: folder });
  }
  return existsSync(binary) ? binary : undefined;
}

// What begins with a digit is a version; anything else is a test to run instead of all.
const asked = process.argv.slice(2).filter((word) => /^\d/.test(word));
const files = process.argv.slice(2).filter((word) => !/^\d/.test(word));
const results = [];
for (const version of asked.length > 0 ? asked : VERSIONS) {
  const binary = binaryOf(version);
  if (!binary) {
    results.push([version, "could not be installed"]);
    continue;
  }
  const actual = spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout.trim();
  process.stdout.write(`\n== daemon on ${actual}\n`);
  const env = { ...process.env, SINGLE_PORT_TEST_NODE: binary };
  const chosen = files.length > 0 ? files : ["test/e2e", "test/long"];
  const args = [vitest, "run", "--config", "test/vitest.config.ts", ...chosen];
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit", cwd: root, env });
  results.push([actual, status === 0 ? "passed" : "failed"]);
}
process.stdout.write(`\n${results.map(([version, result]) => `${version}: ${result}`).join("\n")}\n`);
process.exitCode = results.every(([, result]) => result === "passed") ? 0 : 1;
