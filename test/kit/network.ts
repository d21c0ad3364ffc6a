// A network namespace in which peers can vanish: the daemon runs in it, joined to the tests by "cables" (veth pairs). A
// cable that is cut loses every packet in both directions: no FIN, no RST, no ACK.

import { execFileSync, spawn } from "node:child_process";
import { atEnd } from "./lifetime.ts";
import { within } from "./until.ts";

/** One link between the tests and the daemon. */
export interface Cable {
  /** The tests' address on it: where upstreams listen. */
  here: string;
  /** The daemon's address on it: where clients dial. */
  there: string;
  cut(): void;
}

/** The namespace. It is gone with the test, or with the process of the tests at the latest. */
export interface Network {
  /** Runs a command in it (prefix of startDaemon). */
  prefix: string[];
  cable(): Cable;
}

const ip = (...words: string[]): string => execFileSync("ip", words, { encoding: "utf8", stdio: "pipe" });

/** Why there can be no network here; undefined if there can. */
export function noNetwork(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux'";
  if (process.getuid?.() !== 0) return "only root may make a network namespace";
  try {
    execFileSync("unshare", ["--net", "ip", "link", "add", "spa", "type", "veth", "peer", "name", "spb"], {
      stdio: "pipe",
    });
    return undefined;
  } catch {
    return "needs ip (iproute2), unshare, and the right to make a network namespace";
  }
}

/** Makes a network. */
export async function network(): Promise<Network> {
  // A namespace lives as long as a process in it, and cat as long as its stdin is open.
  const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "pipe", "inherit"] });
  atEnd(() => void holder.kill());
  holder.stdin.write("there\n");
  await within(new Promise((resolve) => holder.stdout.once("data", resolve)), "network namespace");
  const inside = ["nsenter", "--target", String(holder.pid), "--net"];
  let cables = 0;
  return {
    prefix: inside,
    cable: () => {
      // 198.18.0.0/15 is set aside for tests of networks (RFC 2544); each process gets 16 addresses of it.
      const first = (process.pid % 8192) * 16 + 4 * cables;
      const address = (n: number): string => `198.${18 + (first >> 16)}.${(first >> 8) & 255}.${(first & 255) + n}`;
      const name = `sp${process.pid}-${cables++}`;
      const [here, there] = [address(1), address(2)];
      ip("link", "add", name, "type", "veth", "peer", "name", "cable", "netns", String(holder.pid));
      // By itself it would go with the namespace, which sockets that wait for an answer keep for minutes.
      atEnd(() => ip("link", "delete", name));
      ip("address", "add", `${here}/30`, "dev", name);
      ip("link", "set", name, "up");
      const run = (...words: string[]): unknown =>
        execFileSync(inside[0] as string, [...inside.slice(1), "ip", ...words]);
      run("link", "set", "cable", "name", name);
      run("address", "add", `${there}/30`, "dev", name);
      run("link", "set", name, "up");
      return { here, there, cut: () => void ip("link", "set", name, "down") };
    },
  };
}
