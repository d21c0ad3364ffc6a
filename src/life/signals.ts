// Signal handlers: which signals drain the process, and when a second one ends it at once. Called by stop.ts and
// cli.ts.

import { readFileSync, readlinkSync } from "node:fs";
import { constants } from "node:os";

/**
 * The signals that end the process. SIGHUP comes when the terminal or the ssh session is closed. SIGQUIT is Ctrl-\.
 * nodemon sends SIGUSR2 to restart a program.
 */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;

/**
 * A further signal within this time of the first, in milliseconds, is a copy of it: a manager may signal the process
 * group and then the child; Ctrl-C reaches all processes of a terminal.
 */
const SAME_WISH_MS = 1000;

/** Listens for these signals. Calls `stop` for the first, and `exit` with 128 + its number for a later one. */
export function onStopSignals(stop: (signal: string) => void, exit: (code: number) => void): void {
  let first: number | undefined;
  const ignored = hangupIsIgnored() ? "SIGHUP" : undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // The listener stays attached: without one, node's default for SIGHUP is to exit.
      if (signal === ignored) return;
      const now = performance.now();
      first ??= now;
      // The first signal, even when the process is stopping for another reason already.
      if (first === now) stop(signal);
      else if (now - first >= SAME_WISH_MS) exit(128 + constants.signals[signal]);
    });
  }
}

/** Handles SIGUSR1, on which node would otherwise open its debugger to every process of this user. */
export function keepDebuggerShut(): void {
  process.on("SIGUSR1", () => {});
}

/** The bit of SIGHUP in the masks of /proc/self/status. */
const HANGUP_BIT = 1n;
/** The access mode in the flags of an open file: write only (open(2)). */
const [ACCESS_MODE, WRITE_ONLY] = [3, 1];

/**
 * Was this process started with SIGHUP ignored (`nohup`)? Node resets all signals to their defaults when it starts, so
 * the mask alone does not tell. But nohup also replaces a terminal as stdin by /dev/null, opened for writing only. No
 * other program does that, and it is inherited through npx. Known on Linux only; false on other systems.
 */
function hangupIsIgnored(): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if ((BigInt(`0x${mask ?? 0}`) & HANGUP_BIT) !== 0n) return true;
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/fdinfo/0", "utf8"))?.[1];
    return (
      (Number.parseInt(flags ?? "0", 8) & ACCESS_MODE) === WRITE_ONLY && readlinkSync("/proc/self/fd/0") === "/dev/null"
    );
  } catch {
    return false;
  }
}
