// npm run bench [-- items] [--rounds N] [--seconds N] [--processes N] [--peers a,b] [--against folder] [--markdown]
// Starts upstreams, this proxy (as built) and its peers on free ports of loopback, and prints what each costs.

import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { fetchPeers } from "./fetch.mjs";
import { compareWith, OTHER_BUILD, versions } from "./peers.mjs";
import { machine, markdown, table } from "./print.mjs";
import { run } from "./rounds.mjs";
import { WORK } from "./work.mjs";

const MAX_ROUNDS = 100;
const MAX_SECONDS = 60;
const MAX_PROCESSES = 10;

/** @param {string} line @returns {never} */
function usage(line) {
  process.stderr.write(`${line}\nitems: ${WORK.map(({ name }) => name).join(", ")}\n`);
  process.exit(64);
}

/** @param {string} name @param {string} given @param {number} most */
function whole(name, given, most) {
  const value = Number(given);
  if (!Number.isInteger(value) || value < 1 || value > most) usage(`--${name} is '${given}'. Accepted: 1 to ${most}.`);
  return value;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "1" },
    processes: { type: "string", default: "1" },
    peers: { type: "string" },
    against: { type: "string" },
    markdown: { type: "boolean", default: false },
  },
});
const rounds = whole("rounds", values.rounds, MAX_ROUNDS);
const seconds = whole("seconds", values.seconds, MAX_SECONDS);
const processes = whole("processes", values.processes, MAX_PROCESSES);
const unknown = positionals.find((name) => !WORK.some((work) => work.name === name));
if (unknown !== undefined) usage(`there is no item '${unknown}'.`);
if (!existsSync("/proc/self/task")) usage("the bench counts processor time by /proc: Linux only.");

await fetchPeers();
const here = await versions();
const wanted = values.peers?.split(",");
if (values.against !== undefined) compareWith(values.against);
const terminal = process.stderr.isTTY;
/** @param {string} text */
const progress = (text) => void (terminal && process.stderr.write(`\r\x1b[K${text}`));

process.stdout.write(`${machine()}; ${rounds} rounds of ${seconds} s, ${processes} of each\n\n`);
const done = [];
for (const work of WORK) {
  if (positionals.length > 0 && !positionals.includes(work.name)) continue;
  const peers = work.peers.filter(
    (peer) =>
      peer === "single-port" || ((here.has(peer) || peer === "node -e 0") && (!wanted || wanted.includes(peer))),
  );
  if (values.against !== undefined) peers.splice(1, 0, OTHER_BUILD);
  try {
    const results = await run(work, peers, { rounds, seconds, processes, progress });
    progress("");
    done.push({ work, results });
    process.stdout.write(`${table(work, results)}\n`);
  } catch (error) {
    progress("");
    process.stdout.write(`${work.name}: ${/** @type {Error} */ (error).message}\n\n`);
    process.exitCode = 1;
  }
}
if (values.markdown) process.stdout.write(`${markdown(done, here, process.argv.slice(2))}\n`);
process.exit();
