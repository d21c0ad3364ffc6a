// What this process uses (memory, descriptors), and where its log goes. Called by proxy/reports.ts.

import { fstatSync, existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** What the process uses now. Descriptors are known on Linux only. */
export interface Usage {
  residentBytes: number;
  heapUsedBytes: number;
  descriptors?: number | undefined;
  maxDescriptors?: number | undefined;
}

let maxDescriptors: number | undefined;

/** Measures what the process uses. */
export function usage(): Usage {
  const { rss, heapUsed } = process.memoryUsage();
  const memory = { residentBytes: rss, heapUsedBytes: heapUsed };
  try {
    const descriptors = readdirSync("/proc/self/fd").length;
    maxDescriptors ??= Number(/^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1]);
    return { ...memory, descriptors, maxDescriptors: maxDescriptors || undefined };
  } catch {
    return memory;
  }
}

let command: string | undefined;

/** A shell command that shows the log lines with an id; put that in place of `ID`. */
export function logCommand(): string {
  return (command ??= findCommand());
}

function findCommand(): string {
  const { JOURNAL_STREAM, pm_id, name } = process.env;
  const out = stdout();
  if (out.file !== undefined) return `grep ID '${out.file.replaceAll("'", String.raw`'\''`)}'`;
  // JOURNAL_STREAM holds device and inode of the journal's socket; equal to stdout's when that is the journal
  // (systemd.exec(5)).
  if (JOURNAL_STREAM !== undefined && JOURNAL_STREAM === out.id)
    return `journalctl -o cat _PID=${process.pid} | grep ID`;
  if (pm_id !== undefined) return `pm2 logs ${name ?? pm_id} --nostream --lines 100000 | grep ID`;
  if (existsSync("/.dockerenv")) return `docker logs ${hostname()} 2>&1 | grep ID`;
  return "grep ID";
}

/** Device and inode of stdout, and its path if it is a file. */
function stdout(): { id: string; file?: string } {
  try {
    const stat = fstatSync(1);
    const id = `${stat.dev}:${stat.ino}`;
    return stat.isFile() ? { id, file: readlinkSync("/proc/self/fd/1") } : { id };
  } catch {
    return { id: "" };
  }
}
