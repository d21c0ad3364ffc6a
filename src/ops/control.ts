// The control socket: where it is, how it is put there, and how another process asks on it.
// Used by admins.ts to serve it, by `single-port status` to ask, and by a takeover to tell an older self to drain.

import { chmodSync, linkSync, lstatSync, mkdirSync, readdirSync, renameSync, statSync, unlinkSync } from "node:fs";
import { request, type Server } from "node:http";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { codeOf } from "../core/errors.ts";

/** Answers of a control socket come from this machine and from memory: slower is dead. */
const ASK_TIMEOUT_MS = 1000;

/** Where we put ours. */
function folder(): string {
  return folderIn(process.env["XDG_RUNTIME_DIR"] || tmpdir());
}

function folderIn(base: string): string {
  return join(base, `single-port-${userInfo().uid}`);
}

/**
 * Where proxies of this user put theirs: a service has no XDG_RUNTIME_DIR, and a login shell has one. A folder of
 * somebody else is not asked: whatever answered there would be believed.
 */
function folders(): string[] {
  const { uid } = userInfo();
  const all = new Set([folder(), folderIn(`/run/user/${uid}`), folderIn(tmpdir())]);
  return [...all].filter((path) => lstatSync(path, { throwIfNoEntry: false })?.uid === uid);
}

/** Where our control socket is, if we listen on this port. */
export function controlPath(port: number): string {
  if (process.platform === "win32") return `\\\\.\\pipe\\single-port-${userInfo().username}-${port}`;
  return join(folder(), `${port}.sock`);
}

/** Where the control socket of a user's proxy on this port may be; ours comes first. */
export function controlPaths(port: number): string[] {
  if (process.platform === "win32") return [controlPath(port)];
  return folders().map((path) => join(path, `${port}.sock`));
}

/** The control sockets of this user that answer, by port. */
export async function findControls(): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  if (process.platform === "win32") return found;
  for (const path of folders()) {
    const asked = socketsIn(path).map(async (port) => ({ port, at: await answering([join(path, `${port}.sock`)]) }));
    for (const { port, at } of await Promise.all(asked)) if (at) found.set(port, at);
    // Those elsewhere are for whoever has none here.
    if (found.size > 0) break;
  }
  return found;
}

/** The control socket of the user's proxy on this port, if it answers. */
export function findControl(port: number): Promise<string | undefined> {
  return answering(controlPaths(port));
}

async function answering(paths: string[]): Promise<string | undefined> {
  for (const path of paths) {
    if ((await askControl(path, "GET", "/live"))?.status === 200) return path;
  }
  return undefined;
}

/** The ports of all control sockets in a folder, dead ones too. */
function socketsIn(path: string): number[] {
  try {
    return readdirSync(path).flatMap((name) => (/^\d+\.sock$/.test(name) ? [Number.parseInt(name, 10)] : []));
  } catch {
    return [];
  }
}

/** Asks a control socket, or an admin address. Resolves with undefined when nobody answers there. */
export function askControl(
  at: string | { host: string; port: number },
  method: "GET" | "POST",
  url: string,
): Promise<{ status: number; body: string } | undefined> {
  const where = typeof at === "string" ? { socketPath: at } : at;
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
    const asked = request({ ...where, method, path: url, agent: false, signal });
    asked.on("error", () => resolve(undefined));
    asked.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.on("error", () => resolve(undefined));
    });
    asked.end();
  });
}

/** Hears the server-sent events of a control socket. */
export interface Follower {
  event(name: string, data: string): void;
  /** Nobody is there, or not any more. Called once. */
  lost(): void;
}

/** Follows /events of a control socket; returns the function that stops. */
export function followControl(path: string, follower: Follower): () => void {
  const ending = new AbortController();
  const asked = request({ socketPath: path, path: "/events", agent: false, signal: ending.signal });
  let over = false;
  const lost = (): void => {
    if (over) return;
    over = true;
    ending.abort();
    follower.lost();
  };
  asked.on("error", lost);
  asked.on("close", lost);
  // One comes each second: a proxy that is silent for longer is frozen.
  asked.setTimeout(3 * ASK_TIMEOUT_MS, lost);
  asked.on("response", (response) => {
    if (response.statusCode !== 200) return lost();
    let text = "";
    response.setEncoding("utf8").on("data", (more: string) => {
      const events = (text + more).split("\n\n");
      text = events.pop() ?? "";
      for (const one of events) {
        if (!over) follower.event(/^event: (.*)$/m.exec(one)?.[1] ?? "message", /^data: (.*)$/m.exec(one)?.[1] ?? "");
      }
    });
    response.on("error", lost);
    response.on("end", lost);
  });
  asked.end();
  return () => {
    over = true;
    ending.abort();
  };
}

/** Makes the folder, or checks it: ours, and for nobody else. Anything else in its place is refused. */
function prepareFolder(): void {
  const path = folder();
  mkdirSync(path, { mode: 0o700, recursive: true });
  const found = lstatSync(path);
  if (!found.isDirectory() || found.uid !== userInfo().uid) throw new Error(`${path} is not a folder of this user`);
  if ((found.mode & 0o077) !== 0) chmodSync(path, 0o700);
}

/**
 * Serves `server` on the control socket of `port`. It listens under a name of its own and is then moved to the known
 * one in one step: whoever asks there always meets somebody, and an older self that closes cannot take ours away.
 *
 * @param replace move it over one that still answers: an older self that drains.
 * @returns the function that takes the socket away, if it still is ours.
 * @throws when the place is not safe, or another proxy answers there.
 */
export async function serveControl(server: Server, port: number, replace: boolean): Promise<() => void> {
  const path = controlPath(port);
  if (process.platform === "win32") {
    await listen(server, path);
    return () => {};
  }
  prepareFolder();
  const own = join(folder(), `${port}.${process.pid}.tmp`);
  removeIfThere(own);
  await listen(server, own);
  chmodSync(own, 0o600);
  const { ino } = statSync(own);
  try {
    await moveTo(own, path, replace);
  } catch (error) {
    removeIfThere(own);
    throw error;
  }
  return () => {
    try {
      if (lstatSync(path).ino === ino) unlinkSync(path);
    } catch {
      // Gone already.
    }
  };
}

/** A file system that has no second names for sockets (some of macOS do not). */
const NO_LINKS = /^(EPERM|ENOTSUP|EOPNOTSUPP|EINVAL)$/;

/** Puts our socket under the known name, unless somebody else answers there. */
async function moveTo(own: string, path: string, replace: boolean): Promise<void> {
  for (let linkable = true; ;) {
    try {
      linkSync(own, path);
      return unlinkSync(own);
    } catch (error) {
      linkable = codeOf(error) === "EEXIST";
      if (!linkable && !NO_LINKS.test(codeOf(error))) throw error;
    }
    const found = lstatSync(path, { throwIfNoEntry: false });
    // An older self took its own away just now.
    if (!found && linkable) continue;
    if (!found) return renameSync(own, path);
    if (!found.isSocket() || found.uid !== userInfo().uid) throw new Error(`${path} is not a socket of this user`);
    if (!replace && (await askControl(path, "GET", "/live"))) throw new Error(`another single-port answers on ${path}`);
    return renameSync(own, path);
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was not there.
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
