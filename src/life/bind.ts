// Takes the port: from systemd, from an older self, or by waiting a moment for whoever has it (SPEC 7.1).
// Called by daemon.ts; knows nothing of what is served on it.

import { unlinkSync } from "node:fs";
import type { AddressInfo, ListenOptions, Server } from "node:net";
import { askControl, controlPath } from "../core/control.ts";
import { codeOf } from "../core/errors.ts";
import { sleep } from "../core/timer.ts";
import { findHolder } from "./holder.ts";

/** A port, or a unix socket. */
type Address = { host: string; port: number } | { path: string };

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
  /** An older self was told to drain. */
  tookOver: boolean;
  /** systemd listened, and handed the socket over. */
  activated: boolean;
}

/** The port is held by somebody who does not give it up. The message names the holder where the system tells. */
export class PortBusyError extends Error {}

const RETRY_EVERY_MS = 500;
/** While an older self closes its listener, which it does at once. */
const RETRY_HANDOVER_MS = 10;
const HANDOVER_MS = 5000;
/** The first descriptor that systemd passes (sd_listen_fds). */
const LISTEN_FDS_START = 3;

/** Can this node bind a port beside another process (SO_REUSEPORT; Node 22.12, 23.1, Linux)? */
export function canShare(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return process.platform === "linux" && (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12));
}

/**
 * Listens; resolves once it is bound.
 *
 * @throws {PortBusyError} when the port stays busy; the system's error otherwise.
 */
export async function bind(server: Server, place: Place, signal: AbortSignal): Promise<Bound> {
  const fd = activatedFd();
  if (fd !== undefined) {
    await listen(server, { fd });
    return { address: addressOf(server), shared: false, tookOver: false, activated: true };
  }
  const deadline = performance.now() + place.retryMs;
  let tookOver = false;
  for (;;) {
    const older = place.takeover && place.port !== 0 && !tookOver ? await findOlderSelf(place.port) : undefined;
    const shared = place.takeover && canShare();
    if (older?.shared === true && shared) {
      await listen(server, { ...where(place), reusePort: true });
      await askControl(controlPath(place.port), "POST", "/drain");
      return { address: addressOf(server), shared, tookOver: true, activated: false };
    }
    if (older) {
      await askControl(controlPath(place.port), "POST", "/drain");
      tookOver = true;
    }
    const error = await tryToListen(server, place, shared);
    if (!error) return { address: addressOf(server), shared, tookOver, activated: false };
    if (codeOf(error) !== "EADDRINUSE") throw error;
    const late = performance.now() >= deadline + (tookOver ? HANDOVER_MS : 0);
    if (late || signal.aborted) throw await busy(place);
    await sleep(tookOver ? RETRY_HANDOVER_MS : RETRY_EVERY_MS, signal);
  }
}

/** Listens for operators: on a port, or on a unix socket, over one that nobody answers on any more. */
export async function bindAdmin(server: Server, at: Address): Promise<AddressInfo | string> {
  try {
    await listen(server, at);
  } catch (error) {
    if (codeOf(error) !== "EADDRINUSE" || !("path" in at) || (await askControl(at.path, "GET", "/live"))) throw error;
    unlinkSync(at.path);
    await listen(server, at);
  }
  return server.address() ?? "";
}

function where(place: Place): { host: string; port: number } {
  return { host: place.host, port: place.port };
}

async function busy(place: Place): Promise<PortBusyError> {
  const holder = await findHolder(place.port);
  const by = holder
    ? `by process ${holder.pid} (${holder.command.slice(0, 200)})`
    : "by a process the system does not name";
  return new PortBusyError(
    `${place.host}:${place.port} is held ${by}. Accepted for option '--port': a free port, or 0.`,
  );
}

/**
 * Tries once. Where the port may be shared, it is first taken for ourselves alone and let go again: binding it shared
 * at once would also succeed beside a stranger who allows that.
 */
async function tryToListen(server: Server, place: Place, shared: boolean): Promise<unknown> {
  try {
    await listen(server, where(place));
    if (!shared) return undefined;
    const { port } = addressOf(server);
    await new Promise((resolve) => server.close(resolve));
    await listen(server, { host: place.host, port, reusePort: true });
    return undefined;
  } catch (error) {
    return error;
  }
}

/** An older single-port of this user on the port, by its control socket. */
async function findOlderSelf(port: number): Promise<{ shared: boolean } | undefined> {
  const answer = await askControl(controlPath(port), "GET", "/status");
  if (answer?.status !== 200) return undefined;
  try {
    const status = JSON.parse(answer.body) as { name?: unknown; shared?: unknown };
    return status.name === "single-port" ? { shared: status.shared === true } : undefined;
  } catch {
    return undefined;
  }
}

/** The listening descriptor that systemd passed to this very process, if it did. */
function activatedFd(): number | undefined {
  const { LISTEN_FDS: count, LISTEN_PID: pid } = process.env;
  if (Number(pid) !== process.pid || !(Number(count) >= 1)) return undefined;
  // They are for us, not for the commands we run.
  delete process.env["LISTEN_FDS"];
  delete process.env["LISTEN_PID"];
  delete process.env["LISTEN_FDNAMES"];
  return LISTEN_FDS_START;
}

function addressOf(server: Server): AddressInfo {
  return server.address() as AddressInfo;
}

function listen(server: Server, options: ListenOptions & { fd?: number; reusePort?: boolean }): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(error);
    server.once("error", failed);
    server.listen(options, () => {
      server.off("error", failed);
      resolve();
    });
  });
}
