// The module: `import { startSinglePort } from "single-port"`.

import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { load } from "./core/packages.ts";
import { urlOf } from "./core/target.ts";
import type { Report } from "./ops/report.ts";
import { startDaemon } from "./proxy/proxy.ts";
import { optionsFrom } from "./options/options.ts";
import type { Settings } from "./options/settings.ts";

export { CannotListen } from "./life/bind.ts";
export type { Report } from "./ops/report.ts";
export { UsageError } from "./options/options.ts";
export type { Duration, Settings, Size } from "./options/settings.ts";

const { pino } = load("pino") as typeof import("pino");

/** A running proxy. */
export interface SinglePort {
  /** The public address, with the port that was picked for 0. */
  readonly address: AddressInfo;
  /** The URL for a browser on this machine: `http://127.0.0.1:3000`. */
  readonly url: string;
  /** The report of `/status` and `single-port status --json`: links, tunnels, counters, exchanges that ended badly. */
  status(): Report;
  /** Stops accepting, finishes what is in flight, and resolves when all is closed: within `drain` at most. */
  close(): Promise<void>;
}

/**
 * Starts a proxy in this process; resolves when it listens. Does not wait for upstreams.
 *
 * @param log a pino logger; without one nothing is logged.
 * @throws {UsageError} when an option is not accepted; {CannotListen} when the address cannot be bound.
 */
export async function startSinglePort(
  settings: Settings,
  log: Logger = pino({ level: "silent" }),
): Promise<SinglePort> {
  const proxy = await startDaemon(optionsFrom(settings), log);
  const { address } = proxy;
  return {
    address,
    url: urlOf(address.address, address.port),
    status: () => proxy.report(),
    close: () => proxy.close(),
  };
}
