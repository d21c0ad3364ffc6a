// Tells whoever started us: over the IPC channel. Called by daemon.ts and cli.ts; says nothing when nobody listens.

/** Sends a message to an IPC parent, if there is one (`child_process.fork`, pm2). A parent that is gone is no error. */
export function tellParent(message: unknown): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
