// A place to play schedules in, one after another: a proxy, the upstream behind it, and the proxy's account of what
// was done. Several lanes share a process; nothing is shared between them but the event loop.

import { createServer, type Server, type Socket } from "node:net";
import { pathToFileURL } from "node:url";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Settings, SinglePort } from "../../src/index.ts";
import { end } from "./loop.ts";
import { readRequest, valuesOf, type ReadMessage } from "./reader.ts";
import type { FaultKind } from "./schedule.ts";

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

/** One more event: what happened is ordered by these. */
let events = 0;
/** The number of the next event. */
export function tick(): number {
  events += 1;
  return events;
}

/** A request as an upstream got it, on one connection. */
export interface Arrival {
  tag: string;
  on: UpstreamSocket;
  at: number;
  message: ReadMessage;
  /** When all of it had come; Infinity before. */
  completeAt: number;
  /** Which of the attempts it is, from 1 on. */
  attempt: number;
  /** How many pieces of its answer were sent, and how many bytes. */
  pieces: number;
  sent: number;
  /** When the first of them was sent; Infinity before. */
  saidAt: number;
  /** When its whole answer had been sent; Infinity before. */
  wholeAt: number;
  fault: FaultKind;
  faultAt: number;
  closed: boolean;
}

/** A connection that the proxy dialled. */
export interface UpstreamSocket {
  socket: Socket;
  text: string;
  from: number;
  arrivals: Arrival[];
  /** What passes through the tunnel it has become. */
  tunnel: string | undefined;
  /** What is not HTTP. */
  wrong: string | undefined;
  ended: "no" | "fin" | "rst";
  closed: boolean;
  /** Was it not read from for a while? Then what came on it was seen late. */
  paused: boolean;
  /** Why no other request may come on it. */
  spent: string | undefined;
  /** Why the proxy has to close it. */
  over: string | undefined;
}

/** Who hears of what comes to the upstream. */
export interface Audience {
  arrived(arrival: Arrival): void;
  changed(): void;
}

/** An outcome, and when it was told. */
export type Account = Outcome & { at: number };

/** What is needed of the built proxy. */
interface Built {
  startSinglePort(settings: Settings, log: unknown): Promise<SinglePort>;
  optionsFrom(settings: Settings): unknown;
  LineLimit: { new (dropped: () => void): object; prototype: { allows(): boolean } };
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
  return { startSinglePort, optionsFrom, Proxy, LineLimit };
}

/** One lane. */
export class Lane {
  proxy!: Running;
  accounts: Account[] = [];
  /** What the proxy said at warning or above. */
  alarms: string[] = [];
  sockets: Set<UpstreamSocket> = new Set();
  audience: Audience | undefined;
  #built!: Built;
  /** One that was taken over. */
  #older: Running | undefined;
  #server!: Server;
  #address: { host: string; port: number } = { host: "", port: 0 };

  /**
   * Opens a lane.
   *
   * @param dist the built proxy.
   * @param host a loopback address that nobody else listens on, so that an upstream can come back to its port.
   */
  static async open(dist: string, host: string): Promise<Lane> {
    const lane = new Lane();
    lane.#built = await load(dist);
    // Every account counts, in a storm of them, too.
    lane.#built.LineLimit.prototype.allows = () => true;
    lane.#address = { host, port: 0 };
    await lane.revive();
    await lane.renew();
    return lane;
  }

  get port(): number {
    return this.proxy.address.port;
  }

  /** Starts the upstream, at the address it had. */
  async revive(): Promise<void> {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ ...this.#address, backlog: 511 }, resolve);
    });
    const address = this.#server.address();
    if (address && typeof address === "object") this.#address.port = address.port;
  }

  /** Kills the upstream: its connections are reset, and nobody listens. */
  kill(): void {
    this.#server.close();
    for (const { socket } of this.sockets) {
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  /** A new proxy. One that is to be taken over has a control socket, as only a process has it. */
  async renew(control?: "with a control socket"): Promise<void> {
    await this.#older?.close();
    await this.proxy?.close();
    this.#older = undefined;
    if (control === undefined) this.proxy = await this.#built.startSinglePort(this.#settings("0"), this.#log());
    else this.proxy = await this.#startDaemon("0", false);
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
    const target = `${this.#address.host}:${this.#address.port}`;
    return { ...SETTINGS, port, http: target, mux: [0, 1, 2, 3].map((n) => `/mux${n}=${target}/mux`) };
  }

  async close(): Promise<void> {
    this.audience = undefined;
    await this.#older?.close();
    await this.proxy.close();
    this.kill();
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
        this.audience?.changed();
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

  #accept(socket: Socket): void {
    const one: UpstreamSocket = {
      socket,
      text: "",
      from: 0,
      arrivals: [],
      tunnel: undefined,
      wrong: undefined,
      ended: "no",
      closed: false,
      paused: false,
      spent: undefined,
      over: undefined,
    };
    this.sockets.add(one);
    socket.on("error", () => (one.ended = "rst"));
    socket.on("data", (chunk: Buffer) => {
      this.#onData(one, chunk.toString("latin1"));
      this.audience?.changed();
    });
    socket.on("end", () => {
      if (one.ended === "no") one.ended = "fin";
      // Whoever is a tunnel decides itself when it closes.
      if (one.tunnel === undefined) end(socket);
      this.audience?.changed();
    });
    socket.on("close", () => {
      one.closed = true;
      if (one.tunnel === undefined) this.#tryToRead(one);
      this.sockets.delete(one);
      this.audience?.changed();
    });
  }

  #onData(one: UpstreamSocket, text: string): void {
    if (one.tunnel !== undefined) {
      one.tunnel += text;
      return;
    }
    one.text += text;
    // A large body is not read again for each of its pieces.
    const last = one.arrivals.at(-1);
    if (!last || last.completeAt !== Infinity || one.text.length >= last.message.needs) this.#tryToRead(one);
  }

  #tryToRead(one: UpstreamSocket): void {
    try {
      this.#read(one);
    } catch (error) {
      one.wrong ??= (error as Error).message;
    }
  }

  #read(one: UpstreamSocket): void {
    while (one.wrong === undefined && one.from < one.text.length) {
      const message = readRequest(one.text, one.from);
      if (!message) return;
      const last = one.arrivals.at(-1);
      let arrival = last && last.completeAt === Infinity ? last : undefined;
      if (arrival) arrival.message = message;
      else {
        const tag = valuesOf(message.fields, "x-of").join();
        arrival = {
          tag,
          on: one,
          at: tick(),
          message,
          completeAt: Infinity,
          attempt: 0,
          pieces: 0,
          sent: 0,
          saidAt: Infinity,
          wholeAt: Infinity,
          fault: "none",
          faultAt: Infinity,
          closed: false,
        };
        one.arrivals.push(arrival);
        this.audience?.arrived(arrival);
      }
      if (!message.complete) return;
      arrival.completeAt = tick();
      one.from = message.end;
      if (valuesOf(message.fields, "upgrade").length === 0) continue;
      one.tunnel = one.text.slice(one.from);
      return;
    }
  }
}
