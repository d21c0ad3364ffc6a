// Packages from npm that are no dependencies of ours, for tests with other people's software. They are installed once
// into a folder of the system's temporary one, by their exact versions; no script of theirs runs.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cleanEnv } from "./daemon.ts";
import { atEnd } from "./lifetime.ts";

const run = promisify(execFile);
/** A registry that is asked for the first time takes its time. */
const INSTALL_MS = 180_000;

/** node-pty with its binary: the one that others depend on would have to be built. */
export const NODE_PTY = {
  versions: {
    "node-pty": "npm:@lydell/node-pty@1.1.0",
    [`@lydell/node-pty-${process.platform}-${process.arch}`]: "1.1.0",
  },
  overrides: { "node-pty": "$node-pty" },
};

/** What npm is told besides the packages. */
export interface Further {
  overrides?: Record<string, string>;
  /** Leaves out what packages can do without: compilers for the most part. */
  omitOptional?: boolean;
  /** Packages of which only the files are wanted, since what they depend on cannot be had. */
  unpacked?: string[];
}

/**
 * Installs packages, unless they are there from an earlier run.
 *
 * @param name of the folder, for a person who looks for it.
 * @param versions exact, by package.
 * @returns the folder with `node_modules` in it; files beside that find the packages by their names.
 * @throws {Error} with what npm said.
 */
export async function installed(
  name: string,
  versions: Record<string, string>,
  { overrides, omitOptional = false, unpacked = [] }: Further = {},
): Promise<string> {
  const wanted = JSON.stringify({ private: true, type: "module", dependencies: versions, overrides });
  const hash = createHash("sha256")
    .update(wanted)
    .update(unpacked.join())
    .update(process.arch)
    .digest("hex")
    .slice(0, 12);
  const folder = join(tmpdir(), `single-port-${name}-${hash}`);
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(`${folder}-`);
  try {
    writeFileSync(join(fresh, "package.json"), wanted);
    const words = ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"];
    if (omitOptional) words.push("--omit=optional");
    await run("npm", words, { cwd: fresh, env: cleanEnv(), timeout: INSTALL_MS });
    for (const one of unpacked) await unpack(fresh, one);
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    // Another test file may have been faster.
    if (!existsSync(folder)) throw new Error(`${name} cannot be installed from npm`, { cause: error });
  }
  return folder;
}

/** Puts the files of `name@version` where they would be installed. */
async function unpack(folder: string, one: string): Promise<void> {
  const options = { cwd: folder, env: cleanEnv(), timeout: INSTALL_MS };
  const { stdout } = await run("npm", ["pack", "--silent", one], options);
  const target = join(folder, "node_modules", one.slice(0, one.lastIndexOf("@")));
  mkdirSync(target, { recursive: true });
  const archive = stdout.trim().split("\n").at(-1) ?? "";
  await run("tar", ["-xzf", archive, "-C", target, "--strip-components=1"], options);
}

/** A folder of this test's own, whose files find the packages by their names. */
export function folderIn(packages: string): string {
  const folder = mkdtempSync(join(packages, "run-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Packages that a test can do without, when it is skipped. */
export interface Packages {
  folder: string;
  /** Why they are not there; undefined if they are. */
  missing: string | undefined;
}

/** The same for a test file as a whole, which is skipped where npm's registry cannot be reached. */
export async function fromNpm(
  name: string,
  versions: Record<string, string>,
  further: Further = {},
): Promise<Packages> {
  try {
    return { folder: await installed(name, versions, further), missing: undefined };
  } catch (error) {
    const { message, cause } = error as Error;
    return { folder: "", missing: `${message}: ${(cause as Error).message.slice(0, 200)}` };
  }
}
