// The README's code blocks, for the tests that run what it prints.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PYTHON } from "./peer.ts";

/** The repository. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));
const README = readFileSync(`${ROOT}/README.md`, "utf8");

/** The one block of this language that contains this text; throws if there is none, or more than one. */
export function readmeBlock(language: string, containing = ""): string {
  const blocks = [...README.matchAll(/^```(\w+)\n(.*?)^```$/gms)];
  const found = blocks.filter(([, lang, text]) => lang === language && text?.includes(containing));
  if (found.length !== 1) throw new Error(`${found.length} ${language} blocks with ${JSON.stringify(containing)}`);
  return found[0]?.[2] ?? "";
}

/** Puts this machine's ports and paths in; each must stand in the text, or the recipe has changed unseen. */
export function substitute(text: string, changes: Record<string, string>): string {
  for (const from of Object.keys(changes)) {
    if (!text.includes(from)) throw new Error(`no ${JSON.stringify(from)} in ${text}`);
  }
  // In one go: a port that was put in can look like one that is to be put in.
  const any = Object.keys(changes).map((from) => from.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return text.replaceAll(new RegExp(any.join("|"), "g"), (from) => changes[from] ?? from);
}

/** Why YAML cannot be read here; undefined if it can. */
export const noYaml: string | undefined = existsSync("/usr/lib/python3/dist-packages/yaml")
  ? undefined
  : "python3-yaml is missing";

/** The documents of a YAML text. */
export function parseYaml(text: string): unknown[] {
  const script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
  return JSON.parse(execFileSync(PYTHON, ["-c", script], { input: text, encoding: "utf8" })) as unknown[];
}
