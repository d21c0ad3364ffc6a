// Who has the port? Called by bind.ts when it is busy, to name the holder in the error,
// and by cli.ts for `status`.
// Best effort: another user's process may not be looked into, and then nobody is named.

import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { overlap } from "./older-self.ts";

/** A process that listens. */
interface Holder {
  pid: number;
  command: string;
}

/** The process that listens on a TCP port at this address (an IP), if the system tells. */
export async function findHolder(port: number, address: string): Promise<Holder | undefined> {
  try {
    const holder = process.platform === "linux" ? findByProc(port, address) : await findByLsof(port);
    // It becomes part of one line, and a command line may hold anything.
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

/** Who listens on a port of this machine, in words; undefined when nobody does, as far as the system tells. */
export async function whoListens(port: number): Promise<string | undefined> {
  const holder = await findHolder(port, "::");
  if (holder) return `process ${holder.pid} (${holder.command})`;
  return listenersOn(port, "::").size > 0 ? "a process the system does not name" : undefined;
}

function findByProc(port: number, address: string): Holder | undefined {
  const inodes = listenersOn(port, address);
  const pid = readdirSync("/proc").find((name) => /^\d+$/.test(name) && holds(name, inodes));
  return pid === undefined ? undefined : { pid: Number(pid), command: readFileSync(`/proc/${pid}/cmdline`, "utf8") };
}

/** The sockets that listen there, as /proc/pid/fd names them. */
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

/** Without IPv6 one of the files is missing. */
function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n").slice(1);
  } catch {
    return [];
  }
}

/** An address as node writes it, from the kernel's: words in the byte order of a little-endian machine. */
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
