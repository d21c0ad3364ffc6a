// Packages from npm that are no dependencies of ours, for tests with other people's software. They are installed once
// into a folder of the system's temporary one, by their exact versions; no script of theirs runs.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cleanEnv } from "./daemon.ts";

const run = promisify(execFile);
/** A registry that is asked for the first time takes its time. */
const INSTALL_MS = 180_000;

/**
 * Installs packages, unless they are there from an earlier run.
 *
 * @param name of the folder, for a person who looks for it.
 * @param versions exact, by package.
 * @returns the folder with `node_modules` in it; files beside that find the packages by their names.
 * @throws {Error} with what npm said.
 */
export async function installed(name: string, versions: Record<string, string>): Promise<string> {
  const wanted = JSON.stringify({ private: true, type: "module", dependencies: versions });
  const hash = createHash("sha256").update(wanted).update(process.arch).digest("hex").slice(0, 12);
  const folder = join(tmpdir(), `single-port-${name}-${hash}`);
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(`${folder}-`);
  try {
    writeFileSync(join(fresh, "package.json"), wanted);
    const words = ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"];
    await run("npm", words, { cwd: fresh, env: cleanEnv(), timeout: INSTALL_MS });
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    // Another test file may have been faster.
    if (!existsSync(folder)) throw new Error(`${name} cannot be installed from npm`, { cause: error });
  }
  return folder;
}

/** Packages that a test can do without, when it is skipped. */
export interface Packages {
  folder: string;
  /** Why they are not there; undefined if they are. */
  missing: string | undefined;
}

/** The same for a test file as a whole, which is skipped where npm's registry cannot be reached. */
export async function fromNpm(name: string, versions: Record<string, string>): Promise<Packages> {
  try {
    return { folder: await installed(name, versions), missing: undefined };
  } catch (error) {
    const { message, cause } = error as Error;
    return { folder: "", missing: `${message}: ${(cause as Error).message.slice(0, 200)}` };
  }
}
