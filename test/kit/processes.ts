// Processes of others, by /proc: whose children they are, and whether they are still there.

import { readdirSync, readFileSync } from "node:fs";
import { isAlive } from "../../src/life/alive.ts";
import { atEnd } from "./lifetime.ts";

export { isAlive };

/** The process that started another; 0 when it is gone. */
function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return 0;
  }
}

/** A process's children, and theirs. */
export function familyOf(pid: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const children = all.map(Number).filter((one) => parentOf(one) === pid);
  return children.flatMap((child) => [child, ...familyOf(child)]);
}

/** Kills those that are still there. */
export function killAll(pids: number[]): void {
  for (const one of pids) if (isAlive(one)) process.kill(one, "SIGKILL");
}

/** A process's children, and theirs. They are killed with the test, if they outlive it. */
export function descendants(pid: number): number[] {
  const found = familyOf(pid);
  atEnd(() => killAll(found));
  return found;
}

/** Kills a process's children and theirs when the test ends: those that are there then. */
export function endFamily(pid: number): void {
  atEnd(() => killAll([...familyOf(pid), pid]));
}

/** The one of a process's children, and theirs, whose command line contains this; undefined if there is none. */
export function childCalled(pid: number, command: string): number | undefined {
  return familyOf(pid).find((one) => commandOf(one).includes(command));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
