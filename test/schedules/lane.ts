// A place to play schedules in, one after another: a proxy, the upstream behind it, and the proxy's account of what
// was done. Several lanes share a process; nothing is shared between them but the event loop.

import { pathToFileURL } from "node:url";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Settings, SinglePort } from "../../src/index.ts";
import type { World } from "./schedule.ts";
import { tick, Upstream } from "./upstream-server.ts";

/** Limits of the proxy, in milliseconds: long for a schedule, short for whoever waits for them. */
export const LIMIT_MS = 700;
export const HOLD_MS = 300;
export const DRAIN_MS = 700;

const SETTINGS: Omit<Settings, "http"> = {
  host: "127.0.0.1",
  port: "0",
  hold: `${HOLD_MS}ms`,
  headersTimeout: `${LIMIT_MS}ms`,
  requestTimeout: "5s",
  responseTimeout: `${LIMIT_MS}ms`,
  handshakeTimeout: `${LIMIT_MS}ms`,
  bodyTimeout: `${LIMIT_MS}ms`,
  stallTimeout: `${LIMIT_MS}ms`,
  clientKeepAlive: "10s",
  pingInterval: "0",
  probeInterval: "0",
  drain: `${DRAIN_MS}ms`,
  replayBuffer: "4k",
};

/** An outcome, and when it was told. */
export type Account = Outcome & { at: number };

/** What is needed of the built proxy. */
interface Built {
  startSinglePort: (settings: Settings, log: unknown) => Promise<SinglePort>;
  optionsFrom: (settings: Settings) => unknown;
  LineLimit: { new (dropped: () => void): object; prototype: { allows(): boolean } };
  DOUBT_MS: number;
  Trust: { prototype: { caught(this: object, now: number): void } };
  Proxy: new (options: unknown, log: unknown, process: object) => Daemon;
}

/** A proxy as a process runs it: another can take over from it. */
interface Daemon {
  readonly address: SinglePort["address"];
  start(): Promise<void>;
  report(): ReturnType<SinglePort["status"]>;
  close(): Promise<void>;
}

/** A proxy in a lane. */
type Running = Pick<SinglePort, "address" | "status" | "close">;

async function load(dist: string): Promise<Built> {
  const at = async (file: string): Promise<Built> => (await import(pathToFileURL(`${dist}/${file}`).href)) as Built;
  const { startSinglePort } = await at("index.js");
  const { optionsFrom } = await at("options/options.js");
  const { Proxy } = await at("proxy/proxy.js");
  const { LineLimit } = await at("ops/log.js");
  const { DOUBT_MS, Trust } = await at("upstream/trust.js");
  return { startSinglePort, optionsFrom, Proxy, LineLimit, DOUBT_MS, Trust };
}

/** An upstream that was caught is doubted for minutes; no schedule lasts so long, and the next one begins anew. */
const DOUBTED_FOR_MS = 20;

const shortened = new WeakSet<object>();

/** Times that no option sets, and limits of the log. */
function shorten({ LineLimit, DOUBT_MS, Trust: { prototype } }: Built): void {
  // Every account counts, in a storm of them, too.
  LineLimit.prototype.allows = () => true;
  if (shortened.has(prototype)) return;
  shortened.add(prototype);
  // oxlint-disable-next-line typescript/unbound-method -- it is called with its object
  const { caught } = prototype;
  prototype.caught = function (now) {
    caught.call(this, now - DOUBT_MS + DOUBTED_FOR_MS);
  };
}

/** One lane. */
export class Lane {
  readonly upstream: Upstream;
  proxy!: Running;
  accounts: Account[] = [];
  /** What the proxy said at warning or above. */
  alarms: string[] = [];
  #built!: Built;
  /** One that was taken over. */
  #older: Running | undefined;
  /** One that lasts, while a schedule is played that would end it. */
  #aside: Running | undefined;
  readonly #lasts: boolean;

  /**
   * Opens a lane.
   *
   * @param dist the built proxy.
   * @param host a loopback address that nobody else listens on, so that an upstream can come back to its port.
   * @param lasts its proxy lasts as long as the lane, so that all that it keeps adds up; schedules that would end a
   *   proxy are played with another one.
   */
  static async open(dist: string, host: string, lasts = false): Promise<Lane> {
    const lane = new Lane(host, lasts);
    lane.#built = await load(dist);
    shorten(lane.#built);
    await lane.upstream.revive();
    await lane.#start();
    return lane;
  }

  private constructor(host: string, lasts: boolean) {
    this.upstream = new Upstream(host);
    this.#lasts = lasts;
  }

  get port(): number {
    return this.proxy.address.port;
  }

  /** To be called before a schedule. One that is to be taken over has a control socket, as only a process has it. */
  async prepare(world: World): Promise<void> {
    if (world === "none" || (world !== "takeover" && !this.#lasts)) return;
    if (this.#lasts) this.#aside = this.proxy;
    else await this.proxy.close();
    await this.#start(world);
  }

  /** To be called behind a schedule: the proxy is as good as new. */
  async restore(world: World): Promise<void> {
    if (world === "none") return;
    await this.#older?.close();
    await this.proxy.close();
    this.#older = undefined;
    if (this.#aside) this.proxy = this.#aside;
    else await this.#start();
    this.#aside = undefined;
  }

  async #start(world: World = "none"): Promise<void> {
    if (world === "takeover") this.proxy = await this.#startDaemon("0", false);
    else this.proxy = await this.#built.startSinglePort(this.#settings("0"), this.#log());
    // On every address of loopback that port would be its own, and the next proxy would not start.
    if (!this.upstream.target.endsWith(`:${this.port}`)) return;
    await this.proxy.close();
    await this.#start(world);
  }

  /** Another proxy takes over; resolves when the older one is gone. */
  async takeOver(): Promise<void> {
    const older = this.proxy;
    this.#older = older;
    this.proxy = await this.#startDaemon(String(this.port), true);
    await older.close();
  }

  async #startDaemon(port: string, takeover: boolean): Promise<Running> {
    const { LineLimit, Proxy, optionsFrom } = this.#built;
    const options = optionsFrom({ ...this.#settings(port), takeover });
    const stop = (): void => void daemon.close();
    const daemon = new Proxy(options, this.#log(), { lines: new LineLimit(() => {}), control: true, stop });
    await daemon.start();
    return { address: daemon.address, status: () => daemon.report(), close: () => daemon.close() };
  }

  #settings(port: string): Settings {
    const { target } = this.upstream;
    return { ...SETTINGS, port, http: target, mux: [0, 1, 2].map((n) => `/mux${n}=${target}/mux`) };
  }

  async close(): Promise<void> {
    this.upstream.audience = undefined;
    await this.#older?.close();
    await this.#aside?.close();
    await this.proxy.close();
    this.upstream.kill();
  }

  /** Is a request in progress, or waiting? Tunnels may last. */
  isBusy(): boolean {
    const { requests, held } = this.proxy.status();
    return requests + held > 0;
  }

  /** What the proxy has open. */
  open(): string {
    const { requests, held, connections, tunnels } = this.proxy.status();
    const all = { requests, held, connections, tunnels: tunnels.length };
    return Object.entries(all)
      .filter(([, n]) => n > 0)
      .map(([what, n]) => `${n} ${what}`)
      .join(", ");
  }

  #log(): unknown {
    const line = (about: unknown): void => {
      if (typeof about === "object" && about !== null && "attempts" in about && "phase" in about) {
        this.accounts.push({ ...(about as Outcome), at: tick() });
        this.upstream.audience?.changed();
      }
    };
    // An upstream that is away is an error to its operator, and ordinary here.
    const alarm = (about: unknown, text?: string): void => {
      const { err } = about as { err?: Error };
      if (err) this.alarms.push(`${text ?? ""} ${err.stack ?? err.message}`);
    };
    const log = {
      isLevelEnabled: () => true,
      trace() {},
      debug: line,
      info: line,
      warn: line,
      error: alarm,
      fatal: alarm,
    };
    return { ...log, child: () => log };
  }
}
