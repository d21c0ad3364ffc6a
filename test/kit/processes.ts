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

/** A process's children, and theirs. They are killed with the test, if they outlive it. */
export function descendants(pid: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const children = all.map(Number).filter((one) => parentOf(one) === pid);
  const found = children.flatMap((child) => [child, ...descendants(child)]);
  atEnd(() => {
    for (const one of children) if (isAlive(one)) process.kill(one, "SIGKILL");
  });
  return found;
}
