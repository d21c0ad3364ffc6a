// Where the control sockets of a user are: folders that only this user can have made, and names in them. Used by
// control.ts, and by life/lock.ts for what must not be in the reach of others either.

import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { codeOf } from "../core/errors.ts";

/** The folder's name below a base. Where that is taken by somebody else, one that begins with it and goes on with `-`. */
function folderName(): string {
  return `single-port-${userInfo().uid}`;
}

/** Where we put ours: for a login shell, or for a service, which has none. */
function bases(): string[] {
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  return [...(runtime ? [runtime] : []), tmpdir()];
}

/** A folder that this user made, and no link to one: whatever answered in another's would be believed. */
function isOurs(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === userInfo().uid;
}

/** Our folders below a base. */
function foldersIn(base: string): string[] {
  const name = folderName();
  let names: string[];
  try {
    names = readdirSync(base).filter((one) => one === name || one.startsWith(`${name}-`));
  } catch {
    return [];
  }
  return names
    .sort()
    .map((one) => join(base, one))
    .filter(isOurs);
}

/** Our folders, wherever proxies of this user put them, the nearest first. */
export function ourFolders(): string[] {
  const all = new Set([...bases(), `/run/user/${userInfo().uid}`]);
  return [...all].flatMap(foldersIn);
}

/**
 * The folder for what only this user may make; made if it is not there, and closed to others.
 *
 * @throws when there can be none; the message says what stands in the way.
 */
export function prepareFolder(): string {
  const failures: unknown[] = [];
  for (const base of bases()) {
    try {
      const path = folderBelow(base);
      if ((lstatSync(path).mode & 0o077) !== 0) chmodSync(path, 0o700);
      return path;
    } catch (error) {
      failures.push(error);
    }
  }
  throw failures[0];
}

function folderBelow(base: string): string {
  const path = join(base, folderName());
  try {
    // Not with those above it, if they are missing: in /proc, that is, node would try for ever.
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  if (isOurs(path)) return path;
  // Anybody may take a name below the temporary folder. Nobody can guess the next one, and nobody but us can own it.
  const [other] = foldersIn(base);
  return other ?? mkdtempSync(`${path}-`);
}

/**
 * The network namespace of this process: a port is only the same port within one, while the folder may be shared by
 * several (containers with one /tmp). Undefined where there is no such thing, or nobody says.
 */
export const network: string | undefined = networkId();

function networkId(): string | undefined {
  try {
    return /\d+/.exec(readlinkSync("/proc/self/ns/net"))?.[0];
  } catch {
    return undefined;
  }
}

/** Is this the network of this process, as far as anybody knows? */
export function isOurNetwork(other: unknown): boolean {
  return network === undefined || typeof other !== "string" || other === network;
}

/** The names of the control socket of a port: the second where a proxy in another network has the first. */
export function socketNames(port: number): string[] {
  return [`${port}.sock`, ...(network === undefined ? [] : [`${port}.${network}.sock`])];
}

/** The port that a control socket of ours is for, by its name; undefined for another name, or another network. */
export function portOf(name: string): number | undefined {
  const port = Number.parseInt(name, 10);
  return socketNames(port).includes(name) ? port : undefined;
}
