// `npm run docs` writes the parts of the README that are printed from the code; `--check` says which ones are not what
// the code prints, and ends with 1. A part stands between `<!-- name: from where -->` and `<!-- /name -->`.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { metricsTable } from "../dist/ops/metrics-table.js";
import { optionTable } from "../dist/options/options.js";

/** What is printed, by the name of the part. Add a line here, and its two marks to the README. */
const parts = {
  options: optionTable,
  metrics: metricsTable,
};

const file = fileURLToPath(new URL("../README.md", import.meta.url));
const check = process.argv.includes("--check");
let readme = readFileSync(file, "utf8");
const stale = [];
for (const [name, print] of Object.entries(parts)) {
  const part = new RegExp(`(?<=<!-- ${name}: [^>]*-->\n).*?(?=<!-- /${name} -->)`, "s");
  const [written] = part.exec(readme) ?? [];
  if (written === undefined) throw new Error(`README.md has no part '${name}'`);
  const printed = `${print()}\n`;
  if (written !== printed) stale.push(name);
  readme = readme.replace(part, () => printed);
}
if (!check) writeFileSync(file, readme);
else if (stale.length > 0) {
  console.error(`README.md is not what the code prints (${stale.join(", ")}): run 'npm run docs', and commit it`);
  process.exitCode = 1;
}
