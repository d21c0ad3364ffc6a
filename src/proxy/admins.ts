// Where operators ask: the address of `--admin`, and the control socket. Built by proxy.ts, which decides
// when; what is answered is in ops/admin.ts.

import type { Server } from "node:http";
import type { Logger } from "pino";
import { serveControl, type Served } from "../ops/control.ts";
import { sleep } from "../core/timer.ts";
import { bindAdmin } from "../life/bind.ts";
import { createAdmin, type AdminParts } from "../ops/admin.ts";
import { hostsOf } from "../core/hosts.ts";
import { type Address, hostPort } from "../core/target.ts";

/** While an older self still has the address. */
const RETRY_MS = 100;
const WARN_AFTER_MS = 10_000;
/** How often it is looked whether the control socket is there still: more than once in the --bind-retry of a successor. */
const LOOK_MS = 1000;
/** How often it is tried where it could not be had. */
const RETRY_CONTROL_MS = 5000;

/** The control socket in its place, and who answers on it. */
type Control = Served & { server: Server };

/** The servers for operators. */
export class Admins {
  readonly #parts: Omit<AdminParts, "drain">;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #open = new Set<{ server: Server; remove: () => void }>();

  constructor(parts: Omit<AdminParts, "drain">, log: Logger) {
    this.#parts = parts;
    this.#log = log;
  }

  /** Where the live page is; undefined without an address that a browser can ask. */
  url: string | undefined;

  /** @throws {CannotListen} */
  async serveAddress(address: Address): Promise<void> {
    const { allowHost } = this.#parts;
    const hosts = "host" in address && allowHost ? hostsOf(allowHost, address.host) : undefined;
    const server = createAdmin({ ...this.#parts, allowHost: hosts });
    const bound = await bindAdmin(server, address);
    this.#add(server, () => {});
    if (typeof bound !== "string") this.url = `http://${hostPort(bound.address, bound.port)}/`;
    this.#log.info(`admin on ${typeof bound === "string" ? `unix:${bound}` : `${bound.address}:${bound.port}`}`);
  }

  /** Tries until it is to be had: when we take over with the options of an older self, it has the address still. */
  async serveAddressSoon(address: Address): Promise<void> {
    let warnAt = performance.now() + WARN_AFTER_MS;
    while (!this.#closing.signal.aborted) {
      try {
        return await this.serveAddress(address);
      } catch (error) {
        if (performance.now() > warnAt) {
          warnAt = Infinity;
          this.#log.warn({ err: error }, "no admin address");
        }
        await sleep(RETRY_MS, this.#closing.signal);
      }
    }
  }

  /**
   * Serves the same on the control socket, where only our user comes: it may also ask us to drain.
   *
   * @param replace the path of the socket of an older self, which drains.
   */
  async serveControl(port: number, replace: string | undefined, drain: () => void): Promise<void> {
    const parts = { ...this.#parts, allowHost: undefined, drain };
    const served = await this.#tryControl(parts, port, replace, true);
    void this.#keepControl(parts, port, served);
  }

  /** Puts the control socket back when it was removed, and goes on trying where it could not be had. */
  async #keepControl(parts: AdminParts, port: number, first: Control | undefined): Promise<void> {
    let served = first;
    for (;;) {
      await sleep(served ? LOOK_MS : RETRY_CONTROL_MS, this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      if (served?.isThere()) continue;
      const before = served;
      // Those who follow on it go on.
      before?.server.close();
      served = await this.#tryControl(parts, port, undefined, before !== undefined);
      if (served) this.#log.warn(before ? "the control socket was removed, and is put back" : "control socket at last");
    }
  }

  async #tryControl(
    parts: AdminParts,
    port: number,
    replace: string | undefined,
    warns: boolean,
  ): Promise<Control | undefined> {
    const server = createAdmin(parts);
    try {
      const served = await serveControl(server, port, replace);
      this.#add(server, () => served.remove());
      return { ...served, server };
    } catch (error) {
      // It serves all the same: only `single-port status` and a takeover will not find it.
      server.close();
      if (warns) this.#log.warn({ err: error }, "no control socket");
      return undefined;
    }
  }

  /** Is not to be found on the control socket any more. Whoever knows of us already may go on asking. */
  hide(): void {
    this.#closing.abort();
    for (const { remove } of this.#open) remove();
  }

  /** Lets go of the addresses, for a successor, who moves its control socket over ours. */
  release(): void {
    this.#closing.abort();
    for (const { server } of this.#open) server.close();
  }

  close(): void {
    this.release();
    for (const { server } of this.#open) server.closeAllConnections();
  }

  #add(server: Server, remove: () => void): void {
    const opened = { server, remove };
    this.#open.add(opened);
    // One that was replaced is over when the last connection on it is.
    server.once("close", () => this.#open.delete(opened));
    // It may have been told to end while it waited to listen.
    if (!this.#closing.signal.aborted) return;
    remove();
    server.close();
  }
}
