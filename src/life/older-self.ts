// The previous instance ("older self"): a running single-port of the same user, found by its control socket, that is
// asked to hand the port over. Called by bind.ts, and by proxy.ts for the address of --admin. Never kills a process.

import { existsSync } from "node:fs";
import { askControl, askSelf, controlPaths, type Self } from "../ops/control.ts";
import { isOurNetwork } from "../ops/control-place.ts";
import { sleep } from "../core/timer.ts";
import type { Address } from "../core/target.ts";
import { isAlive } from "./alive.ts";

/** How long the previous instance may take to close its listener, in milliseconds. It should do so at once. */
export const HANDOVER_MS = 5000;
/** Time between two tries to bind while the previous instance closes its listener, in milliseconds. */
export const RETRY_HANDOVER_MS = 5;

/**
 * The instance that holds the port on this address, and the path of its control socket; undefined when there is none.
 */
export async function findOlderSelf(port: number, address: string): Promise<(Self & { control: string }) | undefined> {
  for (const control of controlPaths(port)) {
    const self = await askSelf(control);
    const host = self?.listening.replace(/^\[?(.*?)\]?:\d+$/, "$1") ?? "";
    // Control sockets are named by port only: this one may belong to an instance on another address.
    if (self?.state !== "running" || !isOurNetwork(self.network)) continue;
    if (overlap(host, address)) return { ...self, control };
  }
  return undefined;
}

/**
 * Does the process on this admin address serve this public port, too? Then it is the previous instance, and gives up
 * the admin address together with the port.
 */
export async function isOlderSelf(at: Address, port: number): Promise<boolean> {
  const self = await askSelf("path" in at ? at.path : at);
  return self !== undefined && isOurNetwork(self.network) && self.listening.endsWith(`:${port}`);
}

/**
 * Tells the previous instance to drain. False if it runs but does not answer in time; it may still read the request.
 */
export async function handOver(path: string, pid: number, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + HANDOVER_MS;
  for (;;) {
    if (await askControl(path, "POST", "/drain")) return true;
    // It drains already (and has removed its control socket), or it has ended.
    if (!existsSync(path) || !isAlive(pid)) return true;
    if (performance.now() >= deadline || signal.aborted) return false;
    await sleep(RETRY_HANDOVER_MS, signal);
  }
}

/** Do two listening addresses conflict on the same port? */
export function overlap(one: string, other: string): boolean {
  const covers = (wide: string, narrow: string): boolean =>
    wide === narrow || wide === "::" || (wide === "0.0.0.0" && !narrow.includes(":"));
  return covers(one, other) || covers(other, one);
}
