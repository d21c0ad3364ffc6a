// Is a process still there, and still the same one? Used by stop.ts for the parent and by older-self.ts.

import { readFileSync } from "node:fs";

/** Is there a process with this pid? One that has ended and was not waited for counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // It is there, but somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return !/^[ZX]$/.test(statOf(pid)[0] ?? "");
}

/** When a process was started, in the kernel's ticks: pids are used again. Undefined where there is no /proc. */
export function startTimeOf(pid: number): string | undefined {
  return statOf(pid)[19];
}

/** The fields of /proc/pid/stat from the state on. */
function statOf(pid: number): string[] {
  try {
    // The command's name stands in parentheses and may hold anything: the fields are counted behind the last one.
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
  } catch {
    return [];
  }
}
