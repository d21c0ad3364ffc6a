// A place to play schedules in, one after another: a proxy, the upstream behind it, and the proxy's account of what
// was done. Several lanes share a process; nothing is shared between them but the event loop.

import { createServer, type Server, type Socket } from "node:net";
import { pathToFileURL } from "node:url";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Settings, SinglePort } from "../../src/index.ts";
import { readRequest, valuesOf, type ReadMessage } from "./reader.ts";

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
  /** When its whole answer had been sent; Infinity before. */
  wholeAt: number;
  fault: "none" | "fin" | "rst" | "stall";
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

type Start = (settings: Settings, log: unknown) => Promise<SinglePort>;

/** One lane. */
export class Lane {
  proxy!: SinglePort;
  accounts: Account[] = [];
  /** What the proxy said at warning or above. */
  alarms: string[] = [];
  sockets: Set<UpstreamSocket> = new Set();
  audience: Audience | undefined;
  #start!: Start;
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
    const at = (file: string): string => pathToFileURL(`${dist}/${file}`).href;
    lane.#start = ((await import(at("index.js"))) as { startSinglePort: Start }).startSinglePort;
    // Every account counts, in a storm of them, too.
    const { LineLimit } = (await import(at("ops/log.js"))) as { LineLimit: { prototype: { allows(): boolean } } };
    LineLimit.prototype.allows = () => true;
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

  /** A new proxy. */
  async renew(): Promise<void> {
    const target = `${this.#address.host}:${this.#address.port}`;
    const mux = [0, 1, 2, 3].map((n) => `/mux${n}=${target}/mux`);
    this.proxy = await this.#start({ ...SETTINGS, http: target, mux }, this.#log());
  }

  async close(): Promise<void> {
    this.audience = undefined;
    await this.proxy.close();
    this.kill();
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
      if (one.tunnel === undefined) socket.end();
      this.audience?.changed();
    });
    socket.on("close", () => {
      one.closed = true;
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
