// Takes the port: from systemd, from an older self, or by waiting a moment for the process that has it.
// Called by proxy.ts; knows nothing of what is served on it.

import { lstatSync, unlinkSync } from "node:fs";
import { Server, type AddressInfo, type ListenOptions } from "node:net";
import { getSystemErrorMap } from "node:util";
import { askControl } from "../ops/control.ts";
import { codeOf } from "../core/errors.ts";
import { sleep } from "../core/timer.ts";
import { hostPort, type Address } from "../core/target.ts";
import { tryToLock } from "./lock.ts";
import { findOlderSelf, HANDOVER_MS, handOver, RETRY_HANDOVER_MS } from "./older-self.ts";

/** What to bind, and how hard to try. */
export interface Place {
  host: string;
  port: number;
  /** How long to go on when the port is busy, in milliseconds. */
  retryMs: number;
  /** Have an older single-port of this user on this port hand over. */
  takeover: boolean;
}

/** How the port was got. */
export interface Bound {
  address: AddressInfo;
  /** Another proxy can bind beside this one: it can take over without losing a connection. */
  shared: boolean;
  /** It came from systemd (LISTEN_FDS), whose socket it still is. */
  inherited: boolean;
  /** The older self that hands over; `hears` is false when it has not answered, though it lives. */
  older: { pid: number; control: string; hears: boolean } | undefined;
}

/** An address cannot be had. The message says which, why, and what would be accepted. */
export class CannotListen extends Error {
  override readonly name = "CannotListen";
  readonly code = "ERR_SINGLE_PORT_CANNOT_LISTEN";
  /** For want of a right (exit 77), not because of the address (78). */
  readonly denied: boolean;

  constructor(message: string, denied = false) {
    super(message);
    this.denied = denied;
  }
}

const RETRY_EVERY_MS = 500;
/** A timer may be early by a millisecond, and the last try must not be one too many. */
const RETRY_SLACK_MS = 50;
/** While another start on this port is in progress. */
const RETRY_LOCK_MS = 20;
/** The first descriptor that systemd passes (sd_listen_fds). */
const LISTEN_FDS_START = 3;

/** Can this node bind a port beside another process (SO_REUSEPORT; Node 22.12, 23.1, Linux)? */
function canShare(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return process.platform === "linux" && (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12));
}

/**
 * Listens; resolves once it is bound.
 *
 * @throws {CannotListen}
 */
export async function bind(server: Server, place: Place, signal: AbortSignal): Promise<Bound> {
  const fd = activatedFd();
  if (fd !== undefined) {
    const error = await tryTo(server, { fd });
    if (error) throw new CannotListen(`the socket that LISTEN_FDS promises cannot be listened on (${codeOf(error)}).`);
    return { address: addressOf(server), shared: false, inherited: true, older: undefined };
  }
  return await take(server, place, signal);
}

async function take(server: Server, place: Place, signal: AbortSignal): Promise<Bound> {
  let deadline = performance.now() + place.retryMs - RETRY_SLACK_MS;
  let older: Bound["older"];
  let lock: HeldLock | undefined;
  const bound = (shared: boolean): Bound => ({ address: addressOf(server), shared, inherited: false, older });
  try {
    for (;;) {
      lock ??= await waitForLock(place, signal);
      const { shared } = lock;
      const error = await tryToListen(server, place, shared);
      if (!error) return bound(shared);
      if (codeOf(error) !== "EADDRINUSE") throw explain(error, place);
      const self = place.takeover && !older ? await findOlderSelf(place.port, addressIn(error)) : undefined;
      // It may have ended in the meantime, and a stranger have come: then it goes on as if there had been nobody.
      const beside = self?.shared === true && shared && !(await tryTo(server, { ...where(place), reusePort: true }));
      if (self) {
        older = { pid: self.pid, control: self.control, hears: await handOver(self.control, self.pid, signal) };
        if (beside) return bound(shared);
        deadline = performance.now() + HANDOVER_MS;
      } else {
        if (performance.now() >= deadline || signal.aborted) throw await busy(place, addressIn(error));
        // A start that waits for a stranger is in nobody's way; what an older self leaves is for the one it left it to.
        if (!older) {
          lock.unlock();
          lock = undefined;
        }
        await sleep(older ? RETRY_HANDOVER_MS : RETRY_EVERY_MS, signal);
      }
    }
  } finally {
    lock?.unlock();
  }
}

/** Listens for operators: on a port, or on a unix socket, over one that nobody answers on any more. */
export async function bindAdmin(server: Server, at: Address): Promise<AddressInfo | string> {
  let error = await tryTo(server, at);
  if (
    codeOf(error) === "EADDRINUSE" &&
    "path" in at &&
    isSocket(at.path) &&
    !(await askControl(at.path, "GET", "/live"))
  ) {
    unlinkSync(at.path);
    error = await tryTo(server, at);
  }
  if (!error) return server.address() ?? "";
  const code = codeOf(error);
  const what = "path" in at ? `unix:${at.path}` : hostPort(at.host, at.port);
  const why = code === "EADDRINUSE" ? "in use" : code === "EACCES" ? "not ours to listen on" : "not to be had";
  throw new CannotListen(
    `${what} is ${why} (${systemWords(code)}). Accepted for option '--admin': a free address.`,
    code === "EACCES",
  );
}

function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket();
  } catch {
    return false;
  }
}

function where(place: Place): { host: string; port: number } {
  return { host: place.host, port: place.port };
}

/** The address that a host's name stood for, when listening on it failed. */
function addressIn(error: Error & { address?: string }): string {
  return error.address ?? "";
}

function explain(error: Error, { host, port }: Place): Error {
  switch (codeOf(error)) {
    case "EACCES":
    case "EPERM":
      return new CannotListen(
        `no right to listen on ${hostPort(host, port)} (${systemWords(codeOf(error))}). ` +
          `Accepted for option '--port': 1024 and up, or 0${lowPorts(port)}.`,
        true,
      );
    case "EADDRNOTAVAIL":
    case "EAFNOSUPPORT":
    case "EAI_AGAIN":
    case "EINVAL":
    case "ENOTFOUND":
      return new CannotListen(
        `${host} is no address of this machine (${systemWords(codeOf(error))}). Accepted for option '--host': one that is.`,
      );
    default:
      return error;
  }
}

async function busy(place: Place, address: string): Promise<CannotListen> {
  // Loaded here: a start that succeeds has no use for it, and a manager or a user waits for the start.
  const { findHolder } = await import("./holder.ts");
  const holder = await findHolder(place.port, address);
  const by = holder ? `by process ${holder.pid} (${holder.command})` : "by a process the system does not name";
  const older = place.takeover ? undefined : await findOlderSelf(place.port, address);
  return new CannotListen(
    `${hostPort(place.host, place.port)} is held ${by} (${systemWords("EADDRINUSE")}). ` +
      `Accepted for option '--port': a free port, or 0${older ? "; or --takeover, since that is a single-port of yours" : ""}.`,
  );
}

/** What the system and everybody else calls it, for those who search: `EADDRINUSE: address already in use`. */
function systemWords(code: string): string {
  const known = new Map(getSystemErrorMap().values()).get(code);
  return known === undefined ? code : `${code}: ${known}`;
}

/** How a user who is not root listens below 1024. */
function lowPorts(port: number): string {
  if (process.platform !== "linux" || port >= 1024) return "";
  return `; any after 'sudo setcap cap_net_bind_service=+ep ${process.execPath}'`;
}

/**
 * Tries once. Where the port may be shared, it is first taken for ourselves alone and let go again: binding it shared
 * at once would also succeed beside a stranger who allows that.
 */
async function tryToListen(server: Server, place: Place, shared: boolean): Promise<Error | undefined> {
  const error = await tryTo(server, where(place));
  if (error || !shared) return error;
  const { port } = addressOf(server);
  // The port is free as soon as this returns. Nobody waits for `close`: a client that came just now may stay for long.
  Server.prototype.close.call(server);
  return await tryTo(server, { host: place.host, port, reusePort: true });
}

/** While it is held, no other start on the port is in progress. */
interface HeldLock {
  /** May the port be bound so that a successor can bind beside us? */
  shared: boolean;
  unlock(): void;
}

/** Without a lock a port is not shared: then only one can have it, whatever the others do. */
async function waitForLock(place: Place, signal: AbortSignal): Promise<HeldLock> {
  const none = { unlock: () => {} };
  if (!canShare()) return { ...none, shared: false };
  // A port that the kernel picks is nobody else's.
  if (place.port === 0) return { ...none, shared: true };
  const deadline = performance.now() + place.retryMs + HANDOVER_MS;
  for (;;) {
    const lock = await tryToLock(place.port);
    if (lock === "none") return { ...none, shared: false };
    if (lock !== "held") return { shared: true, unlock: lock };
    if (performance.now() >= deadline || signal.aborted) throw await busy(place, "");
    await sleep(RETRY_LOCK_MS, signal);
  }
}

/**
 * The listening descriptor that systemd passed to this very process, if it did.
 *
 * @throws {CannotListen} when there are several.
 */
function activatedFd(): number | undefined {
  const { LISTEN_FDS: count, LISTEN_PID: pid } = process.env;
  if (Number(pid) !== process.pid || !(Number(count) >= 1)) return undefined;
  // They are for us, not for the commands we run.
  delete process.env["LISTEN_FDS"];
  delete process.env["LISTEN_PID"];
  delete process.env["LISTEN_FDNAMES"];
  // Nobody would accept on the others, and their clients would wait for ever.
  if (Number(count) > 1) {
    throw new CannotListen(
      `LISTEN_FDS passes ${count} sockets. Accepted: one (a single ListenStream= in the socket units of the service).`,
    );
  }
  return LISTEN_FDS_START;
}

function addressOf(server: Server): AddressInfo {
  // Node does not know the name of a unix socket that systemd passed.
  const address = server.address() as AddressInfo | null;
  return address ?? { address: "a unix socket", family: "unix", port: 0 };
}

/** Listens; resolves with the error if it cannot. */
function tryTo(
  server: Server,
  options: ListenOptions & { fd?: number; reusePort?: boolean },
): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const failed = (error: Error): void => {
      server.off("listening", done);
      resolve(error);
    };
    const done = (): void => {
      server.off("error", failed);
      resolve(undefined);
    };
    server.once("error", failed);
    server.once("listening", done);
    server.listen(options);
  });
}
