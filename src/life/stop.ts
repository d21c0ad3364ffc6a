// Ends the process: on signals, when the parent process is gone, and on uncaught errors. Called by cli.ts.

import { isSocketError } from "../core/errors.ts";
import type { Log } from "../ops/late-log.ts";
import type { LineLimit } from "../ops/log.ts";
import { isAlive, startTimeOf } from "./alive.ts";
import { onStopSignals } from "./signals.ts";

/** The running proxy, as this file sees it. */
export interface Stoppable {
  log: Log;
  lines: LineLimit;
  /** Drains and closes; resolves when everything is closed. May be called while the proxy is still starting. */
  close(): Promise<void>;
  /** Writes the buffered log lines, if they can be written soon. */
  flush(): Promise<void>;
  /** Counts a socket error for which no listener was attached. */
  onUncaught(): void;
}

/** sysexits.h EX_SOFTWARE: a bug. */
const EXIT_BUG = 70;
const PARENT_CHECK_MS = 1000;

/**
 * Installs the handlers. The first reason to stop drains and exits with 0, a later signal exits at once (signals.ts).
 *
 * @returns a function that stops the process for another reason.
 */
export function installStop(stoppable: Stoppable, parentPid: number | undefined): (reason: string) => void {
  const { log, lines } = stoppable;
  let stopping = false;
  let exitCode = 0;
  const exit = (code: number): void => void stoppable.flush().then(() => process.exit(code));
  const stop = (code: number, reason: string): void => {
    // A bug during the drain still makes the exit code 70.
    exitCode ||= code;
    if (stopping) return;
    stopping = true;
    log.info({ reason }, "stopping");
    stoppable.close().then(
      () => exit(exitCode),
      (error: unknown) => {
        log.fatal({ err: error }, "the shutdown failed");
        exit(EXIT_BUG);
      },
    );
  };
  onStopSignals((signal) => stop(0, signal), exit);
  process.on("message", (message) => {
    if (message === "shutdown" || (message as { type?: unknown } | null)?.type === "shutdown")
      stop(0, "shutdown message");
  });
  // `process.send` exists even after the channel was closed, which may have happened before this line.
  if (process.send) {
    const disconnected = (): void => stop(0, "the IPC channel closed");
    if (process.connected) process.once("disconnect", disconnected);
    else setImmediate(disconnected);
  }
  if (parentPid !== undefined) watchParent(parentPid, () => stop(0, `process ${parentPid} is gone`));

  const uncaught = (error: unknown): void => {
    if (isSocketError(error)) {
      // A socket had no error listener for a moment. That is a bug, but no reason to end all other connections.
      stoppable.onUncaught();
      if (lines.allows("uncaught", "error")) log.error({ err: error }, "uncaught socket error");
      return;
    }
    // The same bug may be thrown for every chunk: limit the lines.
    if (lines.allows("bug", "fatal")) log.fatal({ err: error }, "bug: uncaught exception");
    stop(EXIT_BUG, "uncaught exception");
  };
  process.on("uncaughtException", uncaught);
  process.on("unhandledRejection", uncaught);
  return (reason) => stop(0, reason);
}

/** Checks every second that a process still runs, and calls `gone` once when it does not. */
function watchParent(pid: number, gone: () => void): void {
  const started = startTimeOf(pid);
  const timer = setInterval(() => {
    if (isAlive(pid) && startTimeOf(pid) === started) return;
    clearInterval(timer);
    gone();
  }, PARENT_CHECK_MS);
  timer.unref();
}
