// Tells the process that started us: an IPC parent, systemd. Called by cli.ts, and by links.ts for the parent; says
// nothing when nobody listens, and no failure to tell is one of ours.

import { execFile } from "node:child_process";

/** Sends a message to an IPC parent, if there is one (`child_process.fork`, pm2). */
export function tellParent(message: unknown): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

const SYSTEMD_NOTIFY_MS = 5000;

/**
 * Sends a state to systemd. Its own tool does it: the datagram socket it takes is one that node cannot open.
 * Resolves when it is sent, or cannot be.
 */
function tellSystemd(state: string): Promise<void> {
  if (!process.env["NOTIFY_SOCKET"]) return Promise.resolve();
  const options = { timeout: SYSTEMD_NOTIFY_MS, killSignal: "SIGKILL" } as const;
  return new Promise((resolve) => {
    execFile("systemd-notify", [`--pid=${process.pid}`, state], options, () => resolve());
  });
}

/** We serve: `ready` for pm2 (`wait_ready`), READY=1 for systemd, and from then on its watchdog, if it wants one. */
export function notifyReady(): void {
  tellParent("ready");
  void tellSystemd("READY=1");
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = process.env;
  if (!(Number(usec) > 0) || (pid !== undefined && Number(pid) !== process.pid)) return;
  // Half of what is allowed, as sd_watchdog_enabled(3) recommends.
  let telling = false;
  setInterval(
    () => {
      // One at a time: where starting a process takes so long, more of them do not help.
      if (telling) return;
      telling = true;
      void tellSystemd("WATCHDOG=1").then(() => (telling = false));
    },
    Number(usec) / 2000,
  ).unref();
}

/** We drain. */
export function notifyStopping(): void {
  void tellSystemd("STOPPING=1");
}
