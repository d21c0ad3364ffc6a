// Is a process still running, and is it still the same one? Used by stop.ts for the parent, and by older-self.ts.

import { readFileSync } from "node:fs";

/** Is there a process with this pid? A zombie counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: the process exists, and belongs to another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return !/^[ZX]$/.test(statOf(pid)[0] ?? "");
}

/** When a process was started, in clock ticks: tells it from a later one with the same pid. Undefined without /proc. */
export function startTimeOf(pid: number): string | undefined {
  return statOf(pid)[19];
}

/** The fields of /proc/PID/stat from the state on. */
function statOf(pid: number): string[] {
  try {
    // The command name, in parentheses, may hold spaces and parentheses: the other fields follow the last ")".
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
  } catch {
    return [];
  }
}
