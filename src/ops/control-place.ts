// Where the control sockets of a user are: folders that only this user can have made, and file names in them. Used by
// control.ts, and by life/lock.ts for its lock sockets.

import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { codeOf } from "../core/errors.ts";

/** The folder's name in a base folder. When another user has taken that name: the name, `-` and a random suffix. */
function folderName(): string {
  return `single-port-${userInfo().uid}`;
}

/** The base folders to use, in order: XDG_RUNTIME_DIR (set in a login session), and the temporary folder (services). */
function bases(): string[] {
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  return [...(runtime ? [runtime] : []), tmpdir()];
}

/** Is this a folder of this user, and no symbolic link? In another user's folder, anything could answer on a socket. */
function isOurs(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === userInfo().uid;
}

/** This user's folders in a base folder. */
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

/** All folders in which instances of this user may have put sockets; the base folders of this process first. */
export function ourFolders(): string[] {
  const all = new Set([...bases(), `/run/user/${userInfo().uid}`]);
  return [...all].flatMap(foldersIn);
}

/**
 * Returns the folder for this user's sockets; makes it if it does not exist, with mode 0700.
 *
 * @throws the system's error when no such folder can be made.
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
    // Not recursive: in /proc node's recursive mkdir would loop for ever.
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  if (isOurs(path)) return path;
  // Another user may have taken the name in the temporary folder. mkdtemp makes one that cannot be guessed.
  const [other] = foldersIn(base);
  return other ?? mkdtempSync(`${path}-`);
}

/**
 * The network namespace of this process. Containers that share /tmp share the folder, while the same port number is a
 * different port in each network namespace. Undefined where there is none, or it cannot be read.
 */
export const network: string | undefined = networkId();

function networkId(): string | undefined {
  try {
    return /\d+/.exec(readlinkSync("/proc/self/ns/net"))?.[0];
  } catch {
    return undefined;
  }
}

/** Is this the network namespace of this process? True when either is unknown. */
export function isOurNetwork(other: unknown): boolean {
  return network === undefined || typeof other !== "string" || other === network;
}

/**
 * File names for the control socket of a port. The second is used when an instance in another network has the first.
 */
export function socketNames(port: number): string[] {
  return [`${port}.sock`, ...(network === undefined ? [] : [`${port}.${network}.sock`])];
}

/** The port of a control socket, from its file name; undefined for other files, and for another network namespace. */
export function portOf(name: string): number | undefined {
  const port = Number.parseInt(name, 10);
  return socketNames(port).includes(name) ? port : undefined;
}
