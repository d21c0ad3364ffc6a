// One start at a time on a port that can be shared: two that find it free, or find the same older self, would both end
// up on it. Called by bind.ts.
//
// The lock is a unix socket in our own folder, so that nobody but this user can hold it; an abstract one, which needs no
// folder, can be bound by anybody. It is held while somebody listens on it, which ends with the process, however that
// ends. It comes to its name by link(2), which fails where the name is taken.

import { linkSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { codeOf } from "../core/errors.ts";
import { cut, guard } from "../core/sockets.ts";
import { network, prepareFolder } from "../ops/control-place.ts";

/** What came of a try: the function that gives the lock back; `held` by another start; or there can be `none` here. */
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
    // The one that holds it may have died.
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

/** Gives a socket its second name; false where that is taken. */
function isLinked(own: string, name: string): boolean {
  try {
    linkSync(own, name);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Does nobody hold the lock of this name? Then it is taken away. */
async function isStale(name: string, own: string): Promise<boolean> {
  const ino = inodeOf(name);
  if (ino === undefined) return true;
  if (await answers(name)) return false;
  const aside = `${own}.stale`;
  try {
    renameSync(name, aside);
    // Another start has found the same, and was faster: what was moved is its lock.
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
    // It was not there.
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
    // Anything else than a refusal (a full queue, no right) is no proof that nobody is there.
    socket.once("error", (error) => resolve(!/^(ECONNREFUSED|ENOENT)$/.test(codeOf(error))));
  });
}
