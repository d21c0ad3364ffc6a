// One half of the demo as a child process: forked, restarted on the port it had, ended with the demo.
// start() is called by demo.ts in the parent, serve() by web.ts and mux.ts in the child.

import { fork, type ChildProcess } from "node:child_process";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** What the halves say to each other, by way of the parent: who is hurt, and where. */
export type Hurt = { hurt: "kill" } | { hurt: "socket"; id: string };

/** Long enough to watch the others go on, short enough for requests to be held meanwhile. */
const RESTART_AFTER_MS = 1500;
/** A child that has not ended by then is killed. */
const END_WITHIN_MS = 1000;

/** The parent's side of one child process. */
export class Part {
  readonly #file: URL;
  readonly #onHurt: (hurt: Hurt) => void;
  #child: ChildProcess | undefined;
  #port = 0;
  #restart: NodeJS.Timeout | undefined;
  #ending = false;

  /** @param onHurt called with what this child wants to be done to the other. */
  constructor(name: "web" | "mux", onHurt: (hurt: Hurt) => void) {
    // Beside this file, with its ending: src/demo/web.ts or dist/demo/web.js.
    this.#file = new URL(import.meta.url.replace(/part(\.[jt]s)$/, `${name}$1`));
    this.#onHurt = onHurt;
  }

  /** Starts it for the first time; resolves with the port it keeps from now on. */
  async start(): Promise<number> {
    const child = this.#fork();
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`the demo's child ended with ${code ?? signal}`)));
      child.once("message", ({ port }: { port: number }) => resolve((this.#port = port)));
    });
  }

  /** Passes something on to the child. One that is away does not hear it. */
  tell(hurt: Hurt): void {
    if (this.#child?.connected) this.#child.send(hurt, () => {});
  }

  /** Ends it; resolves when it is gone. */
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
    // Its stdout is not ours: that carries the log.
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

/** The child's side: listens where it is told and ends with its parent. `onHurt` is called with what is done to it. */
export function serve(server: Server, onHurt: (hurt: Hurt) => void): void {
  // SIGKILLed or ended, the parent takes the channel with it. It may have done so before this line.
  process.on("disconnect", () => process.exit(0));
  if (!process.connected) process.exit(0);
  // A terminal and most supervisors signal the whole group; the parent drains first and then ends its children.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
  process.on("message", (hurt: Hurt) => onHurt(hurt));
  server.listen(Number(process.argv[2]), "127.0.0.1", () => {
    process.send?.({ port: (server.address() as AddressInfo).port });
  });
}

/** Ends this process as an operator's `kill -9` or the kernel's lack of memory would. */
export function killSelf(): void {
  process.kill(process.pid, "SIGKILL");
}
