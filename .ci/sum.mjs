// Adds up what the steps of .ci/run left in a folder: names each test that failed, why, and closes with one line. What
// shows only the end of a log shows this.

import { readdirSync, readFileSync } from "node:fs";

/** How much of a failure is shown, in lines. */
const LINES = 12;

const [folder = ""] = process.argv.slice(2);
const sum = { passed: 0, failed: 0, skipped: 0 };

/** @param {string} what @param {string} [why] */
function fail(what, why = "") {
  sum.failed += 1;
  const lines = why.trim().split("\n").slice(0, LINES);
  console.log(`\n!! failed: ${what}\n${lines.map((line) => `   ${line}`).join("\n")}`);
}

for (const step of readdirSync(folder)) {
  const before = sum.failed;
  for (const report of readdirSync(`${folder}/${step}`).filter((name) => name.endsWith(".json"))) {
    const { testResults } = JSON.parse(readFileSync(`${folder}/${step}/${report}`, "utf8"));
    for (const { name, status, message, assertionResults } of testResults) {
      const bad = assertionResults.filter((test) => test.status === "failed");
      for (const { fullName, failureMessages } of bad) fail(`${name}: ${fullName}`, failureMessages.join("\n"));
      if (status === "failed" && bad.length === 0) fail(name, message);
      const passed = assertionResults.filter((test) => test.status === "passed").length;
      sum.passed += passed;
      sum.skipped += assertionResults.length - passed - bad.length;
    }
  }
  // A step that failed without a failed test (types, lint, package, a run that broke off) counts as one failure.
  const [exit, command] = readFileSync(`${folder}/${step}/exit`, "utf8").trim().split("\n");
  if (exit !== "0" && sum.failed === before) fail(command ?? "a step", `exit code ${exit}`);
}
console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed === 0 ? 0 : 1;
