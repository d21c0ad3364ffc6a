// Finds the process that listens on a port. Called by bind.ts, to name it in the error when the port is busy, and by
// cli.ts for `status`. Best effort: processes of other users cannot be inspected, and then none is named.

import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { overlap } from "./older-self.ts";

/** A process that listens on the port. */
interface Holder {
  pid: number;
  command: string;
}

/** The process that listens on a TCP port at this IP address; undefined when it cannot be found. */
export async function findHolder(port: number, address: string): Promise<Holder | undefined> {
  try {
    const holder = process.platform === "linux" ? findByProc(port, address) : await findByLsof(port);
    // The command line becomes part of a one-line message, and may hold control characters.
    return (
      holder && {
        ...holder,
        command: holder.command
          .replaceAll(/[\0-\x20\x7f]+/g, " ")
          .trim()
          .slice(0, 200),
      }
    );
  } catch {
    return undefined;
  }
}

/** The state of a listening socket in /proc/net/tcp. */
const LISTENING = "0A";

/** The process that listens on a port of this machine, in words; undefined when none does. */
export async function whoListens(port: number): Promise<string | undefined> {
  const holder = await findHolder(port, "::");
  if (holder) return `process ${holder.pid} (${holder.command})`;
  return listenersOn(port, "::").size > 0 ? "a process that the system does not name" : undefined;
}

function findByProc(port: number, address: string): Holder | undefined {
  const inodes = listenersOn(port, address);
  const pid = readdirSync("/proc").find((name) => /^\d+$/.test(name) && holds(name, inodes));
  return pid === undefined ? undefined : { pid: Number(pid), command: readFileSync(`/proc/${pid}/cmdline`, "utf8") };
}

/** The listening sockets at this address, as /proc/PID/fd names them: `socket:[12345]`. */
function listenersOn(port: number, address: string): Set<string> {
  const inodes = new Set<string>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of linesOf(file)) {
      const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
      const [host = "", hexPort = ""] = local.split(":");
      if (state === LISTENING && Number.parseInt(hexPort, 16) === port && overlap(addressOf(host), address))
        inodes.add(`socket:[${inode}]`);
    }
  }
  return inodes;
}

/** The lines of a table, without its title. Without IPv6 one of the files is missing. */
function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n").slice(1);
  } catch {
    return [];
  }
}

/** Turns an address of /proc/net/tcp (hexadecimal, 32-bit words in little-endian byte order) into node's notation. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => word.match(/../g)?.toReversed() ?? []);
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join(".");
  const groups = bytes.join("").match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

function holds(pid: string, sockets: Set<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`)));
  } catch {
    // The process has ended, or belongs to another user.
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
