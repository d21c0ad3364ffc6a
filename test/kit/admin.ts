// Asks the admin port of a daemon that was started with `--admin 127.0.0.1:0`.

import type { TestDaemon } from "./daemon.ts";

/** Asks the admin port for a path. */
export async function askAdmin(daemon: TestDaemon, path: string): Promise<string> {
  const line = await daemon.logged(({ msg }) => msg.startsWith("admin on "), "admin address");
  return await (await fetch(`http://${line.msg.slice("admin on ".length)}${path}`)).text();
}

/** How many pings each side has answered so far. */
export async function pongs(daemon: TestDaemon): Promise<{ client: number; upstream: number }> {
  const text = await askAdmin(daemon, "/metrics");
  const count = (side: string): number =>
    Number(new RegExp(`^single_port_ping_rtt_seconds_count\\{side="${side}"\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { client: count("client"), upstream: count("upstream") };
}
