// Runs the web server or the mux of the demo as a child process: forks it, and restarts it on the same port.
// Part is used by demo.ts in the parent; serve() is called by web.ts and mux.ts in the child.

import { fork, type ChildProcess } from "node:child_process";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A fault to cause, as a message from web.ts to mux.ts by way of the parent: kill the process, or reset a socket. */
export type Hurt = { hurt: "kill" } | { hurt: "socket"; id: string };

/** Long enough to see that the other streams go on, and short enough that requests are held meanwhile (--hold). */
const RESTART_AFTER_MS = 1500;
/** A child that has not exited after this time, in milliseconds, is killed. */
const END_WITHIN_MS = 1000;

/** One child process, in the parent. */
export class Part {
  readonly #file: URL;
  readonly #onHurt: (hurt: Hurt) => void;
  #child: ChildProcess | undefined;
  #port = 0;
  #restart: NodeJS.Timeout | undefined;
  #ending = false;

  /** @param onHurt called with a fault that this child wants the other to cause. */
  constructor(name: "web" | "mux", onHurt: (hurt: Hurt) => void) {
    // A file beside this one, with the same extension: src/demo/web.ts or dist/demo/web.js.
    this.#file = new URL(import.meta.url.replace(/part(\.[jt]s)$/, `${name}$1`));
    this.#onHurt = onHurt;
  }

  /** Starts the child; resolves with its port, which it keeps over restarts. */
  async start(): Promise<number> {
    const child = this.#fork();
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`the demo's child ended with ${code ?? signal}`)));
      child.once("message", ({ port }: { port: number }) => resolve((this.#port = port)));
    });
  }

  /** Sends a message to the child. It is lost while the child does not run. */
  tell(hurt: Hurt): void {
    if (this.#child?.connected) this.#child.send(hurt, () => {});
  }

  /** Ends the child; resolves when it has exited. */
  async end(): Promise<void> {
    this.#ending = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const timer = setTimeout(() => child.kill("SIGKILL"), END_WITHIN_MS);
    await new Promise((resolve) => {
      child.once("exit", resolve);
      if (child.connected) child.disconnect();
    });
    clearTimeout(timer);
  }

  #fork(): ChildProcess {
    // The child's stdout is ignored: this process's stdout carries the log.
    const child = fork(this.#file, [String(this.#port)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child = child;
    child.on("message", (message: object) => "hurt" in message && this.#onHurt(message as Hurt));
    child.on("error", () => {});
    child.once("exit", () => {
      if (!this.#ending && this.#port > 0) this.#restart = setTimeout(() => this.#fork(), RESTART_AFTER_MS);
    });
    return child;
  }
}

/** In the child: listens on the port in argv, and exits with the parent. `onHurt` is called with a fault to cause. */
export function serve(server: Server, onHurt: (hurt: Hurt) => void): void {
  // The IPC channel closes when the parent ends, even by SIGKILL; perhaps before this line.
  process.on("disconnect", () => process.exit(0));
  if (!process.connected) process.exit(0);
  // Ignored: a terminal and most supervisors signal the whole process group. The parent drains, and then ends its
  // children.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
  process.on("message", (hurt: Hurt) => onHurt(hurt));
  server.listen(Number(process.argv[2]), "127.0.0.1", () => {
    process.send?.({ port: (server.address() as AddressInfo).port });
  });
}

/** Kills this process, like `kill -9` or the kernel when memory is short. */
export function killSelf(): void {
  process.kill(process.pid, "SIGKILL");
}
