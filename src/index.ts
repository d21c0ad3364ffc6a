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
  /** Where it listens, with the port that was picked for 0. */
  readonly address: AddressInfo;
  /** To open in a browser on this machine: `http://127.0.0.1:3000`. */
  readonly url: string;
  /** What `/status` and `single-port status --json` say: links, tunnels, counts, and what ended badly. */
  status(): Report;
  /** Stops accepting, finishes what is in flight, and resolves when all is ended: `drain` after the call at most. */
  close(): Promise<void>;
}

/**
 * Starts a proxy in this process; resolves when it listens. Its upstreams may come later.
 *
 * @param log a pino logger; silent without one.
 * @throws {UsageError} when an option is not accepted; {CannotListen} when the address cannot be had.
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
