// How the process ends: signals, a parent that is gone, and what nobody caught. Wired by cli.ts.

import type { Logger } from "pino";
import { isSocketError } from "../core/errors.ts";
import type { LineLimit } from "../ops/log.ts";
import { isAlive, startTimeOf } from "./alive.ts";
import { onStopSignals } from "./signals.ts";

/** What ends, and how. */
export interface Stoppable {
  log: Logger;
  lines: LineLimit;
  /** Ends politely; resolves when everything is ended. Also called while it is still starting. */
  close(): Promise<void>;
  /** Writes out what the log still holds, if it can be written soon. */
  flush(): Promise<void>;
  /** A socket error that had no owner. */
  onUncaught(): void;
}

/** sysexits.h EX_SOFTWARE: a bug. */
const EXIT_BUG = 70;
const PARENT_CHECK_MS = 1000;

/** Installs the handlers. The first reason drains and exits 0, a later signal exits at once (signals.ts). */
export function installStop(stoppable: Stoppable, parentPid: number | undefined): (reason: string) => void {
  const { log, lines } = stoppable;
  let stopping = false;
  let exitCode = 0;
  const exit = (code: number): void => void stoppable.flush().then(() => process.exit(code));
  const stop = (code: number, reason: string): void => {
    // A bug while it ends is still one.
    exitCode ||= code;
    if (stopping) return;
    stopping = true;
    log.info({ reason }, "stopping");
    stoppable.close().then(
      () => exit(exitCode),
      (error: unknown) => {
        log.fatal({ err: error }, "could not stop");
        exit(EXIT_BUG);
      },
    );
  };
  onStopSignals((signal) => stop(0, signal), exit);
  process.on("message", (message) => {
    if (message === "shutdown" || (message as { type?: unknown } | null)?.type === "shutdown")
      stop(0, "shutdown message");
  });
  // `send` stays when the channel is closed, which may have happened before this line.
  if (process.send) {
    const disconnected = (): void => stop(0, "the IPC channel closed");
    if (process.connected) process.once("disconnect", disconnected);
    else setImmediate(disconnected);
  }
  if (parentPid !== undefined) watchParent(parentPid, () => stop(0, `process ${parentPid} is gone`));

  const uncaught = (error: unknown): void => {
    if (isSocketError(error)) {
      // Some socket had no owner for a moment. That is a bug to be found, and no reason to end everybody else's.
      stoppable.onUncaught();
      if (lines.allows("uncaught", "error")) log.error({ err: error }, "uncaught socket error");
      return;
    }
    // The same bug may come with every byte.
    if (lines.allows("bug", "fatal")) log.fatal({ err: error }, "bug: uncaught exception");
    stop(EXIT_BUG, "uncaught exception");
  };
  process.on("uncaughtException", uncaught);
  process.on("unhandledRejection", uncaught);
  return (reason) => stop(0, reason);
}

/** Looks every second whether a process is there, and still the same one. */
function watchParent(pid: number, gone: () => void): void {
  const started = startTimeOf(pid);
  const timer = setInterval(() => {
    if (isAlive(pid) && startTimeOf(pid) === started) return;
    clearInterval(timer);
    gone();
  }, PARENT_CHECK_MS);
  timer.unref();
}
