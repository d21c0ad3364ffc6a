// Which signals end the process, and when the next one means "at once". Called by stop.ts, and by cli.ts for SIGUSR1.

import { readFileSync, readlinkSync } from "node:fs";
import { constants } from "node:os";

/**
 * SIGHUP comes when the terminal or the ssh session is closed; SIGQUIT is Ctrl-\; SIGUSR2 is how nodemon asks a program
 * to end.
 */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;

/**
 * Signals so close to the first, in milliseconds, are the same wish: a manager that signals the process group and then
 * its child, a shell and its terminal.
 */
const SAME_WISH_MS = 1000;

/** Hears of the signals that end the process: `stop` with the first, `exit` with a later one and its exit code. */
export function onStopSignals(stop: (signal: string) => void, exit: (code: number) => void): void {
  let first: number | undefined;
  const ignored = hangupIsIgnored() ? "SIGHUP" : undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // Not left without a listener: node's default is to end.
      if (signal === ignored) return;
      const now = performance.now();
      first ??= now;
      // Not "stopping already": a signal that comes while it ends for another reason is the first.
      if (first === now) stop(signal);
      else if (now - first >= SAME_WISH_MS) exit(128 + constants.signals[signal]);
    });
  }
}

/** Node would open a debugger on SIGUSR1, which any process of this user may then use. */
export function keepDebuggerShut(): void {
  process.on("SIGUSR1", () => {});
}

/** The bit of SIGHUP in the masks of /proc/self/status. */
const HANGUP_BIT = 1n;
/** The access mode in the flags of an open file: write only (open(2)). */
const [ACCESS_MODE, WRITE_ONLY] = [3, 1];

/**
 * Did whoever started us want SIGHUP ignored (`nohup`)? Node gives every signal back its default when it starts, so what
 * was ignored is forgotten; but nohup also puts a stdin in place of the terminal that can only be written, which no
 * other program does, and which comes through npx as well. Elsewhere than on Linux nobody can tell.
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
