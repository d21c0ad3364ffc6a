// Tells the process manager that this process is ready or stopping: an IPC parent (pm2), systemd. Called by cli.ts and
// proxy/links.ts. Does nothing without a manager, and ignores failures to send.

import { execFile } from "node:child_process";

/** Sends a message to an IPC parent, if there is one (`child_process.fork`, pm2). */
export function tellParent(message: unknown): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

const SYSTEMD_NOTIFY_MS = 5000;

/**
 * Sends a state to systemd with its tool systemd-notify: node cannot open the unix datagram socket that systemd reads.
 * Resolves when the state is sent, or could not be.
 */
function tellSystemd(state: string): Promise<void> {
  if (!process.env["NOTIFY_SOCKET"]) return Promise.resolve();
  const options = { timeout: SYSTEMD_NOTIFY_MS, killSignal: "SIGKILL" } as const;
  return new Promise((resolve) => {
    execFile("systemd-notify", [`--pid=${process.pid}`, state], options, () => resolve());
  });
}

/**
 * Says that this process serves: `ready` to pm2 (`wait_ready`), READY=1 to systemd. Then feeds systemd's watchdog, if
 * on.
 */
export function notifyReady(): void {
  tellParent("ready");
  void tellSystemd("READY=1");
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = process.env;
  if (!(Number(usec) > 0) || (pid !== undefined && Number(pid) !== process.pid)) return;
  // Half of what is allowed, as sd_watchdog_enabled(3) recommends.
  let telling = false;
  setInterval(
    () => {
      // One systemd-notify at a time: where starting a process takes that long, more of them do not help.
      if (telling) return;
      telling = true;
      void tellSystemd("WATCHDOG=1").then(() => (telling = false));
    },
    Number(usec) / 2000,
  ).unref();
}

/** Says that this process drains. */
export function notifyStopping(): void {
  void tellSystemd("STOPPING=1");
}
