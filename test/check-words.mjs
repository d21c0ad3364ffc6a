// `npm run check` runs this: cheap rules for comments and commit subjects, without a dictionary. Prints each place that
// breaks one, and ends with 1.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const MAX_COMMENT = 120;
const MAX_SUBJECT = 72;
/** `area: what` or `area, other: what`. */
const SUBJECT = /^[A-Za-z][\w/-]*(, [A-Za-z][\w/-]*)*: \S/;
const EXPORT = /^export (?:default )?(?:async )?(?:abstract )?(?:function|class|interface|type|const|let) \w/;

const root = fileURLToPath(new URL("..", import.meta.url));
/** @type {string[]} */
const faults = [];

/**
 * The code files below a folder.
 *
 * @param {string} folder
 */
function filesIn(folder) {
  const names = readdirSync(`${root}${folder}`, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => /\.(ts|mjs|js)$/.test(name) && !name.includes("node_modules"))
    .map((name) => `${folder}/${name}`);
}

/** @param {string} file */
function checkFile(file) {
  const lines = readFileSync(`${root}${file}`, "utf8").split("\n");
  for (const [index, line] of lines.entries()) {
    const place = `${file}:${index + 1}`;
    const isComment = /^\s*(\/\/|\/\*|\*[ /])/.test(line);
    if (isComment && line.length > MAX_COMMENT) faults.push(`${place}: a comment line of ${line.length} characters`);
    if (file.startsWith("src/") && EXPORT.test(line) && !lines[index - 1]?.trimEnd().endsWith("*/")) {
      faults.push(`${place}: an export without a docstring above it`);
    }
  }
  // The tests of a test file say what it is; all other files say so in their first line.
  const first = lines[0]?.startsWith("#!") ? lines[1] : lines[0];
  const says = /^(\/\/|\/\*\*) \S+( \S+){2,}/.test(first ?? "");
  if (!says && !file.endsWith(".test.ts")) faults.push(`${file}:1: the first line does not say what the file is`);
}

/**
 * The subjects of a branch's commits that are not on main yet. None on main, on a detached HEAD (a machine that tests
 * one commit may have an old main), and without git.
 */
function newSubjects() {
  try {
    execFileSync("git", ["symbolic-ref", "--quiet", "HEAD"], { cwd: root, stdio: "pipe" });
    const options = { cwd: root, encoding: /** @type {const} */ ("utf8"), stdio: /** @type {const} */ ("pipe") };
    return execFileSync("git", ["log", "--no-merges", "--format=%s", "main..HEAD"], options).split("\n");
  } catch {
    return [];
  }
}

for (const file of [...filesIn("src"), ...filesIn("test")]) checkFile(file);
for (const subject of newSubjects().filter((one) => one !== "")) {
  if (subject.length > MAX_SUBJECT)
    faults.push(`commit "${subject}": ${subject.length} characters, not ${MAX_SUBJECT}`);
  if (!SUBJECT.test(subject)) faults.push(`commit "${subject}": not 'area: what'`);
}
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
