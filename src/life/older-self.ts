// An older single-port of the same user, found by its control socket, and asked to hand the port over.
// Called by bind.ts for the port, and by proxy.ts for the address of --admin. Only ever asks: it never kills.

import { existsSync } from "node:fs";
import { askControl, askSelf, controlPaths, type Self } from "../ops/control.ts";
import { isOurNetwork } from "../ops/control-place.ts";
import { sleep } from "../core/timer.ts";
import type { Address } from "../core/target.ts";
import { isAlive } from "./alive.ts";

/** How long it may take to close its listener, in milliseconds; it does so at once. */
export const HANDOVER_MS = 5000;
/** How often it is looked whether it has. */
export const RETRY_HANDOVER_MS = 5;

/** The one that holds the port on this address, and its control socket. */
export async function findOlderSelf(port: number, address: string): Promise<(Self & { control: string }) | undefined> {
  for (const control of controlPaths(port)) {
    const self = await askSelf(control);
    const host = self?.listening.replace(/^\[?(.*?)\]?:\d+$/, "$1") ?? "";
    // The control socket is by port: it may be that of one which holds the port on another address.
    if (self?.state !== "running" || !isOurNetwork(self.network)) continue;
    if (overlap(host, address)) return { ...self, control };
  }
  return undefined;
}

/** Is the one that has this admin address on this public port? Then it gives it up together with the port. */
export async function isOlderSelf(at: Address, port: number): Promise<boolean> {
  const self = await askSelf("path" in at ? at.path : at);
  return self !== undefined && isOurNetwork(self.network) && self.listening.endsWith(`:${port}`);
}

/** Tells it to drain. False if it lives and does not answer; it may hear it later. */
export async function handOver(path: string, pid: number, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + HANDOVER_MS;
  for (;;) {
    if (await askControl(path, "POST", "/drain")) return true;
    // It was asked to end by somebody else in the meantime, and has taken its control socket away; or it died.
    if (!existsSync(path) || !isAlive(pid)) return true;
    if (performance.now() >= deadline || signal.aborted) return false;
    await sleep(RETRY_HANDOVER_MS, signal);
  }
}

/** Do two listening addresses exclude each other on the same port? */
export function overlap(one: string, other: string): boolean {
  const covers = (wide: string, narrow: string): boolean =>
    wide === narrow || wide === "::" || (wide === "0.0.0.0" && !narrow.includes(":"));
  return covers(one, other) || covers(other, one);
}
