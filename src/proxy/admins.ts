// Opens and closes the admin servers: the address of `--admin`, and the control socket. Used by proxy.ts. What they
// answer is in ops/admin.ts.

import type { Server } from "node:http";
import type { Log } from "../ops/late-log.ts";
import { serveControl, type Served } from "../ops/control.ts";
import { sleep } from "../core/timer.ts";
import { bindAdmin } from "../life/bind.ts";
import { createAdmin, type AdminParts } from "../ops/admin.ts";
import { hostsOf } from "../core/hosts.ts";
import { type Address, hostPort } from "../core/target.ts";

/** Time between two tries to bind --admin while a previous instance still holds the address, in milliseconds. */
const RETRY_MS = 100;
const WARN_AFTER_MS = 10_000;
/**
 * Time between two checks that the control socket's file exists; shorter than the --bind-retry of a successor (2 s).
 */
const LOOK_MS = 1000;
/** Time between two tries to make a control socket, after one has failed. */
const RETRY_CONTROL_MS = 5000;

/** The control socket, and the server that answers on it. */
type Control = Served & { server: Server };

/** The admin servers of a proxy. */
export class Admins {
  readonly #parts: Omit<AdminParts, "drain">;
  readonly #log: Log;
  readonly #closing = new AbortController();
  readonly #open = new Set<{ server: Server; remove: () => void }>();

  constructor(parts: Omit<AdminParts, "drain">, log: Log) {
    this.#parts = parts;
    this.#log = log;
  }

  /** The URL of the live page; undefined without --admin, or when that is a unix socket. */
  url: string | undefined;

  /**
   * Serves on the address of --admin.
   *
   * @throws {CannotListen}
   */
  async serveAddress(address: Address): Promise<void> {
    const { allowHost } = this.#parts;
    const hosts = "host" in address && allowHost ? hostsOf(allowHost, address.host) : undefined;
    const server = createAdmin({ ...this.#parts, allowHost: hosts });
    const bound = await bindAdmin(server, address);
    this.#add(server, () => {});
    if (typeof bound !== "string") this.url = `http://${hostPort(bound.address, bound.port)}/`;
    this.#log.info(`admin on ${typeof bound === "string" ? `unix:${bound}` : `${bound.address}:${bound.port}`}`);
  }

  /**
   * Tries until the address can be bound: in a takeover the previous instance, with the same --admin, still holds it.
   */
  async serveAddressSoon(address: Address): Promise<void> {
    let warnAt = performance.now() + WARN_AFTER_MS;
    while (!this.#closing.signal.aborted) {
      try {
        return await this.serveAddress(address);
      } catch (error) {
        if (performance.now() > warnAt) {
          warnAt = Infinity;
          this.#log.warn({ err: error }, "cannot bind the address of --admin yet; retrying");
        }
        await sleep(RETRY_MS, this.#closing.signal);
      }
    }
  }

  /**
   * Serves on the control socket, which only this user can open. There, POST /drain is accepted, too.
   *
   * @param replace the path of the control socket of a previous instance that drains.
   * @param drain called for POST /drain.
   */
  async serveControl(port: number, replace: string | undefined, drain: () => void): Promise<void> {
    const parts = { ...this.#parts, allowHost: undefined, drain };
    const served = await this.#tryControl(parts, port, replace, true);
    void this.#keepControl(parts, port, served);
  }

  /** Makes the control socket again when its file was removed, and goes on trying when it could not be made. */
  async #keepControl(parts: AdminParts, port: number, first: Control | undefined): Promise<void> {
    let served = first;
    for (;;) {
      await sleep(served ? LOOK_MS : RETRY_CONTROL_MS, this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      if (served?.isThere()) continue;
      const before = served;
      // Connections on the removed socket stay open (`status --watch`). Those in its queue are accepted in the next
      // turn of the event loop: close() would reset them, and this timer fires before them when the process was busy.
      await new Promise((resolve) => setImmediate(resolve));
      before?.server.close();
      served = await this.#tryControl(parts, port, undefined, before !== undefined);
      if (served) this.#log.warn(before ? "the control socket was removed; made it again" : "made the control socket");
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
      // The proxy serves without a control socket. Only `single-port status` and a takeover do not find it.
      server.close();
      if (warns)
        this.#log.warn({ err: error }, "no control socket: single-port status and --takeover cannot find this process");
      return undefined;
    }
  }

  /** Removes the control socket's file, so that no new process finds it. Open connections and --admin go on. */
  hide(): void {
    this.#closing.abort();
    for (const { remove } of this.#open) remove();
  }

  /** Stops listening, and leaves the control socket's file: a successor has renamed its own over it. */
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
    // A control socket that was replaced closes with its last connection.
    server.once("close", () => this.#open.delete(opened));
    // release() may have been called while the server was being bound.
    if (!this.#closing.signal.aborted) return;
    remove();
    server.close();
  }
}
