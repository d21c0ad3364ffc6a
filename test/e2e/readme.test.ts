import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { optionTable } from "../../src/options/options.ts";
import { BIN } from "../kit/daemon.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(`${root}/README.md`, "utf8");

test("what is printed from the code is what the code prints: else run 'npm run docs'", () => {
  const { stderr, status } = spawnSync(process.execPath, [`${root}/test/docs.mjs`, "--check"], { encoding: "utf8" });
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
});

test("every option of the table is in --help", () => {
  const help = execFileSync(process.execPath, [BIN, "--help"], { encoding: "utf8" });
  const flags = [...optionTable().matchAll(/^\| `(?:-\w, )?(--[a-z-]+)/gm)].map((match) => match[1] ?? "");
  expect(flags.length).toBeGreaterThan(20);
  for (const flag of flags) expect(help).toContain(flag);
});

test("every file that is named exists", () => {
  const files = [...readme.matchAll(/`(src\/[\w./-]+)`/g)].map((match) => match[1] ?? "");
  expect(files.length).toBeGreaterThan(5);
  for (const file of files) expect(existsSync(`${root}/${file}`), file).toBe(true);
});

test("How it works has at most 60 lines", () => {
  const section = /## How it works\n(.*?)\n## /s.exec(readme)?.[1] ?? "";
  expect(section.split("\n").length).toBeLessThanOrEqual(60);
});

test("no text cites a document that is not in the repository", () => {
  const names = ["src", "test"].flatMap((folder) =>
    readdirSync(`${root}/${folder}`, { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
  );
  const files = ["README.md", ...names.filter((name) => /\.(ts|mjs|js|md)$/.test(name))];
  expect(files.length).toBeGreaterThan(100);
  const cites = /\bSPEC \d|[Aa]ppendix[ -][Aa]\b/;
  expect(files.filter((file) => cites.test(readFileSync(`${root}/${file}`, "utf8")))).toEqual([]);
});
