// Starts the daemon in one of the ways people do, and stays. argv: way, node, bin, options of the daemon...
// The environment is the daemon's, too. Reads its output as long as it lives.

import { fork, spawn } from "node:child_process";

const [way, node, bin, ...args] = process.argv.slice(2);
const mine = ["--parent-pid", String(process.pid)];
const stdio = ["ignore", "pipe", "pipe"];
const ways = {
  fork: () => fork(bin, args, { execPath: node, silent: true }),
  spawn: () => spawn(node, [bin, ...args, ...mine], { stdio }),
  sh: () => spawn("sh", ["-c", `"$@"; exit $?`, "sh", node, bin, ...args, ...mine], { stdio }),
  // A project that has it in its node_modules: the current directory.
  npx: () => spawn("npx", ["--no-install", "single-port", ...args, ...mine], { stdio }),
  detached: () => spawn(node, [bin, ...args, ...mine], { stdio, detached: true }),
  // As agent-orchestrator does it, which wants it to live on.
  "on its own": () => spawn(node, [bin, ...args], { stdio, detached: true }),
};
const child = ways[way]();
child.stdout.resume();
child.stderr.resume();
