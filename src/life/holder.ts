// Who has the port? Called by bind.ts when it is busy, to name the holder in the error (SPEC 7.1).
// Best effort: another user's process may not be looked into, and then nobody is named.

import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A process that listens. */
export interface Holder {
  pid: number;
  command: string;
}

/** The process that listens on a TCP port, if the system tells. */
export async function findHolder(port: number): Promise<Holder | undefined> {
  try {
    return process.platform === "linux" ? findByProc(port) : await findByLsof(port);
  } catch {
    return undefined;
  }
}

/** The state of a listening socket in /proc/net/tcp. */
const LISTENING = "0A";

function findByProc(port: number): Holder | undefined {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const inodes = new Set<string>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of readFileSync(file, "utf8").split("\n").slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === LISTENING && local?.endsWith(wanted) && inode !== undefined) inodes.add(`socket:[${inode}]`);
    }
  }
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || !holds(pid, inodes)) continue;
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    return { pid: Number(pid), command };
  }
  return undefined;
}

function holds(pid: string, sockets: Set<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`)));
  } catch {
    // It ended, or is another user's.
    return false;
  }
}

function findByLsof(port: number): Promise<Holder | undefined> {
  return new Promise((resolve) => {
    execFile("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fpc"], { timeout: 2000 }, (_error, stdout) => {
      const pid = /^p(\d+)$/m.exec(stdout)?.[1];
      resolve(pid === undefined ? undefined : { pid: Number(pid), command: /^c(.*)$/m.exec(stdout)?.[1] ?? "" });
    });
  });
}
