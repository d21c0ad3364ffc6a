// How the process ends: signals, and what nobody caught (SPEC 7.3, 7.4). Wired by cli.ts.

import type { Logger } from "pino";
import { isSocketError } from "../core/errors.ts";

/** What ends, and how. */
export interface Stoppable {
  log: Logger;
  /** Ends politely; resolves when everything is ended. */
  close(): Promise<void>;
  /** Writes out what the log still holds. */
  flush(): void;
}

/** sysexits.h EX_SOFTWARE: a bug. */
const EXIT_BUG = 70;
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Installs the handlers. The first signal drains and exits 0, a second one exits at once. */
export function installStop(stoppable: Stoppable): void {
  const { log } = stoppable;
  let stopping = false;
  const exit = (code: number): never => {
    stoppable.flush();
    process.exit(code);
  };
  const stop = (code: number, reason: string): void => {
    stopping = true;
    log.info({ reason }, "stopping");
    stoppable.close().then(
      () => exit(code),
      (error: unknown) => {
        log.fatal({ err: error }, "could not stop");
        exit(EXIT_BUG);
      },
    );
  };
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.on(signal, () => (stopping ? exit(code) : stop(0, signal)));
  }
  const uncaught = (error: unknown): void => {
    if (isSocketError(error)) {
      // Some socket had no owner for a moment. That is a bug to be found, and no reason to end everybody else's.
      log.error({ err: error }, "uncaught socket error");
      return;
    }
    log.fatal({ err: error }, "bug: uncaught exception");
    if (stopping) return;
    stop(EXIT_BUG, "uncaught exception");
  };
  process.on("uncaughtException", uncaught);
  process.on("unhandledRejection", uncaught);
}
