// The control socket: where it is, how it is put there, and how another process asks on it.
// Used by admins.ts to serve it, by `single-port status` to ask, and by a takeover to tell an older self to drain.

import { chmodSync, linkSync, lstatSync, readdirSync, renameSync, statSync, unlinkSync } from "node:fs";
import { request, type Server } from "node:http";
import { userInfo } from "node:os";
import { join } from "node:path";
import { codeOf } from "../core/errors.ts";
import { isOurNetwork, ourFolders, portOf, prepareFolder, socketNames } from "./control-place.ts";

/** Answers of a control socket come from this machine and from memory: slower is dead. */
const ASK_TIMEOUT_MS = 1000;
/** NODE_OPTIONS would loosen node's parser, and have node warn of that on stderr. */
const strictly = { insecureHTTPParser: false };

/** Where the control socket of a user's proxy on this port may be. Not all of them need be there, or of this network. */
export function controlPaths(port: number): string[] {
  if (process.platform === "win32") return [`\\\\.\\pipe\\single-port-${userInfo().username}-${port}`];
  return ourFolders().flatMap((folder) => socketNames(port).map((name) => join(folder, name)));
}

/** The control sockets of this user that answer, by port. */
export async function findControls(): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  if (process.platform === "win32") return found;
  for (const folder of ourFolders()) {
    const ports = new Set(namesIn(folder).map(portOf));
    const asked = [...ports].map(async (port) => {
      const names = port === undefined ? [] : socketNames(port);
      const at = await answering(names.map((name) => join(folder, name)));
      if (port !== undefined && at !== undefined) found.set(port, at);
    });
    await Promise.all(asked);
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
    const self = await askSelf(path);
    if (self && isOurNetwork(self.network)) return path;
  }
  return undefined;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What a single-port says of itself. */
export interface Self {
  pid: number;
  state: string;
  /** Where it listens, as `address:port`, an IPv6 address in brackets. */
  listening: string;
  /** Another one can bind beside it. */
  shared: boolean;
  /** Its network namespace, where it says that. */
  network: string | undefined;
}

/** Asks who answers on a control socket, or an admin address; undefined when that is no single-port. */
export async function askSelf(at: string | { host: string; port: number }): Promise<Self | undefined> {
  const answer = await askControl(at, "GET", "/status");
  if (answer?.status !== 200) return undefined;
  try {
    const { name, pid, state, shared, listening, network } = JSON.parse(answer.body) as Record<string, unknown>;
    if (name !== "single-port" || typeof pid !== "number") return undefined;
    return {
      pid,
      state: String(state),
      listening: String(listening),
      shared: shared === true,
      network: typeof network === "string" ? network : undefined,
    };
  } catch {
    return undefined;
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
    const asked = request({ ...where, ...strictly, method, path: url, agent: false, signal });
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
  const asked = request({ ...strictly, socketPath: path, path: "/events", agent: false, signal: ending.signal });
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

/** A control socket that was put in its place. */
export interface Served {
  /** Takes it away, if it still is ours. */
  remove(): void;
  /** Is it there still? It may be removed with the folder it is in (a cleanup of /tmp, the end of a login). */
  isThere(): boolean;
}

/**
 * Serves `server` on the control socket of `port`. It listens under a name of its own and is then moved to the known
 * one in one step: whoever asks there always meets somebody, and an older self that closes cannot take ours away.
 *
 * @param replace the path of one that it is moved over in any case: of an older self that drains.
 * @throws when the place is not safe, or another proxy answers there.
 */
export async function serveControl(server: Server, port: number, replace: string | undefined): Promise<Served> {
  if (process.platform === "win32") {
    await listen(server, controlPaths(port)[0] ?? "");
    return { remove: () => {}, isThere: () => true };
  }
  const folder = prepareFolder();
  const own = join(folder, `${port}.${process.pid}.tmp`);
  removeIfThere(own);
  await listen(server, own);
  chmodSync(own, 0o600);
  const { ino } = statSync(own);
  try {
    const path = await moveToFreeName(own, folder, port, replace);
    const isThere = (): boolean => lstatSync(path, { throwIfNoEntry: false })?.ino === ino;
    return { isThere, remove: () => void (isThere() && removeIfThere(path)) };
  } catch (error) {
    removeIfThere(own);
    throw error;
  }
}

/** A file system that has no second names for sockets (some of macOS do not). */
const NO_LINKS = /^(EPERM|ENOTSUP|EOPNOTSUPP|EINVAL)$/;

/** Puts our socket under the first known name that no proxy of another network has. */
async function moveToFreeName(own: string, folder: string, port: number, replace: string | undefined): Promise<string> {
  const names = socketNames(port);
  for (const name of names) {
    const path = join(folder, name);
    const holder = await moveTo(own, path, replace);
    if (!holder) return path;
    if (isOurNetwork(holder.network)) throw new Error(`another single-port answers on ${path}`);
  }
  throw new Error(`a single-port of another network answers on ${names.map((name) => join(folder, name)).join(", ")}`);
}

/** Puts our socket under this name, unless a proxy answers there that is not replaced: then it is returned. */
async function moveTo(own: string, path: string, replace: string | undefined): Promise<Self | undefined> {
  for (let linkable = true; ;) {
    try {
      linkSync(own, path);
      unlinkSync(own);
      return undefined;
    } catch (error) {
      linkable = codeOf(error) === "EEXIST";
      if (!linkable && !NO_LINKS.test(codeOf(error))) throw error;
    }
    const found = lstatSync(path, { throwIfNoEntry: false });
    // An older self took its own away just now.
    if (!found && linkable) continue;
    if (found && (!found.isSocket() || found.uid !== userInfo().uid))
      throw new Error(`${path} is not a socket of this user`);
    // At once where an older self drains: it does not answer any more, and whoever asks here meets nobody until then.
    const holder = found && path !== replace ? await askSelf(path) : undefined;
    if (holder) return holder;
    renameSync(own, path);
    return undefined;
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
