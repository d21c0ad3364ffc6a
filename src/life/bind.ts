// Binds the public port: a socket passed by systemd, a takeover from a previous instance, or a few tries while the port
// is busy. Called by proxy/proxy.ts. Also binds the address of --admin.

import { lstatSync, unlinkSync } from "node:fs";
import { Server, type AddressInfo, type ListenOptions } from "node:net";
import { getSystemErrorMap } from "node:util";
import { askControl } from "../ops/control.ts";
import { codeOf } from "../core/errors.ts";
import { sleep } from "../core/timer.ts";
import { hostPort, type Address } from "../core/target.ts";
import { tryToLock } from "./lock.ts";
import { findOlderSelf, HANDOVER_MS, handOver, RETRY_HANDOVER_MS } from "./older-self.ts";

/** What to bind, and what to do when it is busy. */
export interface Place {
  host: string;
  port: number;
  /** How long to try again while the port is busy, in milliseconds. */
  retryMs: number;
  /** Ask a running single-port of this user to hand the port over. */
  takeover: boolean;
}

/** How the port was bound. */
export interface Bound {
  address: AddressInfo;
  /** With SO_REUSEPORT: a successor can bind beside this instance, and take over without losing a connection. */
  shared: boolean;
  /** systemd passed the socket (LISTEN_FDS), and keeps it open. */
  inherited: boolean;
  /** The previous instance that hands over; `hears` is false when it runs and did not answer. */
  older: { pid: number; control: string; hears: boolean } | undefined;
}

/** An address cannot be bound. The message says which, why, and what is accepted. */
export class CannotListen extends Error {
  override readonly name = "CannotListen";
  readonly code = "ERR_SINGLE_PORT_CANNOT_LISTEN";
  /** Permission is missing (exit 77); otherwise the address is the problem (exit 78). */
  readonly denied: boolean;

  constructor(message: string, denied = false) {
    super(message);
    this.denied = denied;
  }
}

const RETRY_EVERY_MS = 500;
/** Taken off --bind-retry: a timer may fire a millisecond early, which would add one more try. */
const RETRY_SLACK_MS = 50;
/** Time between two tries to get the lock (lock.ts), while another instance starts on this port. */
const RETRY_LOCK_MS = 20;
/** The first descriptor that systemd passes (sd_listen_fds). */
const LISTEN_FDS_START = 3;

/** Does this node support SO_REUSEPORT, to bind a port beside another process (Node 22.12, 23.1, Linux)? */
function canShare(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return process.platform === "linux" && (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12));
}

/**
 * Binds the public port and listens; resolves once that is done.
 *
 * @throws {CannotListen}
 */
export async function bind(server: Server, place: Place, signal: AbortSignal): Promise<Bound> {
  const fd = activatedFd();
  if (fd !== undefined) {
    const error = await tryTo(server, { fd });
    if (error) throw new CannotListen(`cannot listen on the socket passed in LISTEN_FDS (${codeOf(error)}).`);
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
      // The previous instance may have ended by now, and another program may have bound the port: then `beside` is
      // false, and the loop tries again.
      const beside = self?.shared === true && shared && !(await tryTo(server, { ...where(place), reusePort: true }));
      if (self) {
        older = { pid: self.pid, control: self.control, hears: await handOver(self.control, self.pid, signal) };
        if (beside) return bound(shared);
        deadline = performance.now() + HANDOVER_MS;
      } else {
        if (performance.now() >= deadline || signal.aborted) throw await busy(place, addressIn(error));
        // While another program holds the port, other starts may try, too. During a takeover the lock is kept: the port
        // that the previous instance gives up is for this one.
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

/**
 * Binds the address of --admin: a port, or a unix socket. Replaces a socket file that is left from a process that
 * ended.
 *
 * @throws {CannotListen}
 */
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
  const why = code === "EADDRINUSE" ? "is in use" : "cannot be bound";
  throw new CannotListen(
    `${what} ${why} (${systemWords(code)}). Accepted for option '--admin': a free address.`,
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

/** The IP address that a host name resolved to, from the error of listen(). */
function addressIn(error: Error & { address?: string }): string {
  return error.address ?? "";
}

function explain(error: Error, { host, port }: Place): Error {
  switch (codeOf(error)) {
    case "EACCES":
    case "EPERM":
      return new CannotListen(
        `no permission to listen on ${hostPort(host, port)} (${systemWords(codeOf(error))}). ` +
          `Accepted for option '--port': 1024 and up, or 0${lowPorts(port)}.`,
        true,
      );
    case "EADDRNOTAVAIL":
    case "EAFNOSUPPORT":
    case "EAI_AGAIN":
    case "EINVAL":
    case "ENOTFOUND":
      return new CannotListen(
        `${host} is not an address of this machine (${systemWords(codeOf(error))}). Accepted for option '--host': one that is.`,
      );
    default:
      return error;
  }
}

async function busy(place: Place, address: string): Promise<CannotListen> {
  // Loaded only here, so that a start that succeeds does not wait for it.
  const { findHolder } = await import("./holder.ts");
  const holder = await findHolder(place.port, address);
  const by = holder ? `by process ${holder.pid} (${holder.command})` : "by a process that the system does not name";
  const older = place.takeover ? undefined : await findOlderSelf(place.port, address);
  return new CannotListen(
    `${hostPort(place.host, place.port)} is in use ${by} (${systemWords("EADDRINUSE")}). ` +
      `Accepted for option '--port': a free port, or 0${older ? "; or --takeover, since that is a single-port of this user" : ""}.`,
  );
}

/** The system's message of an error code, for people who search for it: `EADDRINUSE: address already in use`. */
function systemWords(code: string): string {
  const known = new Map(getSystemErrorMap().values()).get(code);
  return known === undefined ? code : `${code}: ${known}`;
}

/** How to let a user who is not root bind a port below 1024. */
function lowPorts(port: number): string {
  if (process.platform !== "linux" || port >= 1024) return "";
  return `; any after 'sudo setcap cap_net_bind_service=+ep ${process.execPath}'`;
}

/**
 * Tries to bind once. A shared port is first bound alone and released again: with SO_REUSEPORT at once, the bind would
 * also succeed beside another program that uses SO_REUSEPORT.
 */
async function tryToListen(server: Server, place: Place, shared: boolean): Promise<Error | undefined> {
  const error = await tryTo(server, where(place));
  if (error || !shared) return error;
  const { port } = addressOf(server);
  // The port is free as soon as this returns. Do not wait for 'close': a client that has just connected may stay long.
  Server.prototype.close.call(server);
  return await tryTo(server, { host: place.host, port, reusePort: true });
}

/** The lock of a port. While it is held, no other instance starts on the port. */
interface HeldLock {
  /** May the port be bound with SO_REUSEPORT? */
  shared: boolean;
  unlock(): void;
}

/**
 * Waits for the lock. Where no lock can be made, the port is bound without SO_REUSEPORT: then only one instance gets
 * it.
 */
async function waitForLock(place: Place, signal: AbortSignal): Promise<HeldLock> {
  const none = { unlock: () => {} };
  if (!canShare()) return { ...none, shared: false };
  // The kernel picks a free port: no other instance can start on it, so no lock is needed.
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
 * The descriptor of the listening socket that systemd passed to this process; undefined when it passed none.
 *
 * @throws {CannotListen} when there are several.
 */
function activatedFd(): number | undefined {
  const { LISTEN_FDS: count, LISTEN_PID: pid } = process.env;
  if (Number(pid) !== process.pid || !(Number(count) >= 1)) return undefined;
  // Child processes (--on-down) must not take the variables for theirs.
  delete process.env["LISTEN_FDS"];
  delete process.env["LISTEN_PID"];
  delete process.env["LISTEN_FDNAMES"];
  // Only one can be served. Clients of the others would connect and wait for ever.
  if (Number(count) > 1) {
    throw new CannotListen(
      `LISTEN_FDS passes ${count} sockets. Accepted: one (a single ListenStream= in the socket units of the service).`,
    );
  }
  return LISTEN_FDS_START;
}

function addressOf(server: Server): AddressInfo {
  // Node knows no address of a unix socket that systemd passed.
  const address = server.address() as AddressInfo | null;
  return address ?? { address: "a unix socket", family: "unix", port: 0 };
}

/** Listens; resolves with the error if that fails. */
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
