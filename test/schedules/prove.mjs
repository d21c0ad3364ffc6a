// node test/schedules/prove.mjs [--count N] [--seconds S] [--only TEXT]
// Does the player see? Puts each known fault back into a copy of the source and counts the schedules until it is found.
// A schedule that finds anything without the fault, too, proves nothing: it is played again without it.

import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FAULTS } from "./faults.mjs";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    seconds: { type: "string", default: "600" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});
const root = fileURLToPath(new URL("../..", import.meta.url));
const copy = mkdtempSync(join(tmpdir(), "single-port-faults-"));
process.once("exit", () => rmSync(copy, { recursive: true, force: true }));
for (const name of ["package.json", "tsconfig.json", "src"])
  cpSync(join(root, name), join(copy, name), { recursive: true });
symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));

function compile(into) {
  const unused = ["--noUnusedLocals", "false", "--noUnusedParameters", "false"];
  const args = [join(root, "node_modules/typescript/bin/tsc"), "-p", "src", "--outDir", join(copy, into), ...unused];
  execFileSync(process.execPath, args, { cwd: copy });
}

/** Builds the copy with a fault in it. */
function build({ file, find, put }) {
  const path = join(copy, "src", file);
  const text = readFileSync(path, "utf8");
  if (text.split(find).length !== 2) return `its text is not there once in ${file}`;
  writeFileSync(
    path,
    text.replace(find, () => put),
  );
  try {
    compile("dist");
    return undefined;
  } catch (error) {
    return `it does not compile: ${error.stdout}`;
  } finally {
    writeFileSync(path, text);
  }
}

/** Runs the player; resolves with what was said. */
function play(dist, ...options) {
  const args = ["--dist", join(copy, dist), ...options];
  const child = spawn(process.execPath, [fileURLToPath(new URL("run.mjs", import.meta.url)), ...args]);
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (said += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
  return new Promise((resolve) => child.once("close", () => resolve(said)));
}

/** Is a schedule without findings when nothing is wrong? */
async function isCleanWithout(said) {
  const schedule = /<<'END'\n(.*)\nEND/.exec(said)?.[1];
  if (schedule === undefined) return true;
  const file = join(copy, "found.json");
  writeFileSync(file, schedule);
  return (await play("clean", "--replay", file, "--times", "5")).includes("0 of 5 plays failed");
}

const { count, seconds, seed } = values;
/** What was found may be there without the fault, too: then it is looked on, from another seed. */
const TRIES = 3;

/** Plays until a fault is found; returns after how many schedules, by which finding, and whether that proves it. */
async function find() {
  let after = 0;
  for (let n = 0; n < TRIES; n += 1) {
    const options = ["--count", count, "--seconds", seconds, "--seed", String(Number(seed) + n), "--first"];
    const said = await play("dist", ...options);
    after += Number(/^(\d+) schedules in/m.exec(said)?.[1] ?? 0);
    const finding = /^FAILED .*:\n +(.*)/m.exec(said)?.[1] ?? /^FAILED (.*)/m.exec(said)?.[1];
    if (finding === undefined) return { after: `NOT FOUND in ${after}`, finding: "", isProof: false };
    if (await isCleanWithout(said)) return { after: String(after), finding, isProof: true };
    process.stderr.write(`found without a fault, too:\n${said}\n`);
  }
  return { after: `NOT FOUND: in ${after} only what is found without it, too`, finding: "", isProof: false };
}

compile("clean");
const faults = FAULTS.filter(({ name }) => name.includes(values.only));
const missed = [];
const stale = [];
process.stdout.write("| fault | found after | by |\n| --- | --- | --- |\n");
for (const fault of faults) {
  const broken = build(fault);
  const { after, finding, isProof } =
    broken === undefined ? await find() : { after: `NOT BUILT: ${broken}`, finding: "" };
  if (broken !== undefined) stale.push(fault.name);
  else if (!isProof) missed.push(fault.name);
  process.stdout.write(`| ${fault.name} | ${after} | ${finding.slice(0, 160)} |\n`);
}
const found = faults.length - missed.length - stale.length;
process.stdout.write(`${found} of ${faults.length} found\n`);
for (const name of missed) process.stdout.write(`NOT FOUND: ${name}\n`);
for (const name of stale) process.stdout.write(`NOT BUILT, its edit has to be written anew: ${name}\n`);
process.exit(found === faults.length ? 0 : 1);
