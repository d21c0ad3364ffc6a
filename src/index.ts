// The module: `import { startSinglePort } from "single-port"`.

import type { Logger } from "pino";
import { load } from "./core/packages.ts";
import { startDaemon, type Daemon } from "./proxy/proxy.ts";
import { optionsFrom, type Settings } from "./options/options.ts";

export type { Daemon } from "./proxy/proxy.ts";
export type { Settings } from "./options/options.ts";

const { pino } = load("pino") as typeof import("pino");

/**
 * Starts a proxy in this process; resolves when it listens, with the bound address and `close()`. The options are
 * those of the command line, as strings, in camel case: `{ port: "0", http: "4000", mux: ["14801/mux"] }`.
 *
 * @param log a pino logger; silent without one.
 * @throws {UsageError} when an option is not accepted; {CannotListen} when the address cannot be had.
 */
export async function startSinglePort(settings: Settings, log: Logger = pino({ level: "silent" })): Promise<Daemon> {
  return await startDaemon(optionsFrom(settings), log);
}
