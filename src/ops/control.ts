// The control socket: an admin server on a unix socket that only this user can open. Served by proxy/admins.ts; asked
// by `single-port status`, and by life/older-self.ts, which tells the previous instance to drain.

import { chmodSync, linkSync, lstatSync, readdirSync, renameSync, statSync, unlinkSync } from "node:fs";
import { request, type Server } from "node:http";
import { userInfo } from "node:os";
import { join } from "node:path";
import { codeOf } from "../core/errors.ts";
import { isOurNetwork, ourFolders, portOf, prepareFolder, socketNames } from "./control-place.ts";

/** A control socket answers from memory, on the same machine: after this time, in milliseconds, the process hangs. */
const ASK_TIMEOUT_MS = 1000;
/** Explicit, because NODE_OPTIONS=--insecure-http-parser would loosen node's parser and make node warn on stderr. */
const strictly = { insecureHTTPParser: false };

/** Paths where the control socket for this port may be. They need not exist, nor be of this network namespace. */
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
    // Sockets in later folders count only when the earlier folders have none.
    if (found.size > 0) break;
  }
  return found;
}

/** The path of the control socket of this user's instance on this port, if it answers. */
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

/** What a running instance reports about itself. */
export interface Self {
  pid: number;
  state: string;
  /** The public address, as `address:port`; an IPv6 address is in brackets. */
  listening: string;
  /** Was the port bound with SO_REUSEPORT, so that another instance can bind beside it? */
  shared: boolean;
  /** Its network namespace; undefined when it reports none. */
  network: string | undefined;
}

/** Asks the instance on a control socket or an admin address about itself; undefined when no single-port answers. */
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

/** Sends a request to a control socket or an admin address. Resolves with undefined when there is no answer in time. */
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

/** Receives the server-sent events of a control socket. */
export interface Follower {
  event(name: string, data: string): void;
  /** The control socket cannot be reached, or the stream ended. Called once. */
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
  // An event comes each second: a proxy that is silent for longer hangs.
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

/** A control socket that is being served. */
export interface Served {
  /** Removes the socket file, unless another instance has replaced it. */
  remove(): void;
  /** Does the socket file still exist? It may be removed with its folder (a cleanup of /tmp, the end of a login). */
  isThere(): boolean;
}

/**
 * Serves `server` on the control socket of `port`. The socket is bound to a temporary name and then renamed, in one
 * step: so the known name always answers, and a previous instance that closes does not remove this one's socket.
 *
 * @param replace a path to replace in any case: the control socket of a previous instance that drains.
 * @throws when the folder is not safe, or another instance answers on the path.
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

/** Errors of link(2) on file systems that cannot hard-link sockets (some on macOS). */
const NO_LINKS = /^(EPERM|ENOTSUP|EOPNOTSUPP|EINVAL)$/;

/** Moves the socket to the first known name on which no instance of another network namespace answers. */
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

/** Moves the socket to this path. Returns the instance that answers there, if it is not to be replaced. */
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
    // A previous instance has removed its socket since linkSync failed.
    if (!found && linkable) continue;
    if (found && (!found.isSocket() || found.uid !== userInfo().uid))
      throw new Error(`${path} is not a socket of this user`);
    // A previous instance that drains answers no more, so its socket is replaced without asking.
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
    // The file does not exist.
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
