// A lock, so that one instance at a time starts on a port with SO_REUSEPORT: two instances that find the port free, or
// find the same previous instance, would both bind it. Called by bind.ts.
//
// The lock is a unix socket in this user's own folder, so that other users cannot hold it (anybody could bind an
// abstract socket). It is held while a process listens on it, so it is released when the process ends, however it ends.
// link(2) gives the socket its name, because link(2) fails where the name exists.

import { linkSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { codeOf } from "../core/errors.ts";
import { cut, guard } from "../core/sockets.ts";
import { network, prepareFolder } from "../ops/control-place.ts";

/** The result of a try: the function that releases the lock; `held` by another process; or `none` can be made here. */
export type Lock = (() => void) | "held" | "none";

/** Tries to lock a port, once. */
export async function tryToLock(port: number): Promise<Lock> {
  let name: string;
  try {
    name = join(prepareFolder(), `${port}.${network ?? ""}.lock`);
  } catch {
    return "none";
  }
  const own = `${name}.${process.pid}`;
  const server = createServer(cut);
  server.unref();
  removeIfThere(own);
  if (!(await listens(server, own))) return "none";
  const { ino } = lstatSync(own);
  const unlock = (): void => {
    process.off("exit", unlock);
    if (inodeOf(name) === ino) removeIfThere(name);
    server.close();
  };
  try {
    // The process that made the lock may have died: then its socket file is stale.
    if (!isLinked(own, name) && !((await isStale(name, own)) && isLinked(own, name))) {
      server.close();
      return "held";
    }
  } catch {
    server.close();
    return "none";
  } finally {
    removeIfThere(own);
  }
  process.once("exit", unlock);
  return unlock;
}

/** Links the socket file to the name of the lock; false where that name exists. */
function isLinked(own: string, name: string): boolean {
  try {
    linkSync(own, name);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Does no process listen on the lock of this name? Then removes it. */
async function isStale(name: string, own: string): Promise<boolean> {
  const ino = inodeOf(name);
  if (ino === undefined) return true;
  if (await answers(name)) return false;
  const aside = `${own}.stale`;
  try {
    renameSync(name, aside);
    // Another process has replaced the stale lock in the meantime: what was renamed is its lock, so put it back.
    if (inodeOf(aside) !== ino) {
      linkSync(aside, name);
      return false;
    }
  } catch (error) {
    return codeOf(error) === "ENOENT";
  } finally {
    removeIfThere(aside);
  }
  return true;
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // The file does not exist.
  }
}

function listens(server: ReturnType<typeof createServer>, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(path, () => resolve(true));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    guard(socket);
    socket.once("connect", () => {
      cut(socket);
      resolve(true);
    });
    // Other errors (a full accept queue, no permission) do not prove that no process listens.
    socket.once("error", (error) => resolve(!/^(ECONNREFUSED|ENOENT)$/.test(codeOf(error))));
  });
}
