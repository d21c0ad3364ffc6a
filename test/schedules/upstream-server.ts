// The upstream of a lane: listens, reads what comes, and can be killed and come back. What it answers is the player's.

import { createServer, type Server, type Socket } from "node:net";
import { end } from "./loop.ts";
import { readRequest, valuesOf, type ReadMessage } from "./reader.ts";
import type { FaultKind } from "./schedule.ts";

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
  /** When surplus bytes of an earlier answer came between this request and its answer; Infinity for never. */
  soiledAt: number;
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
  /** Is it never read again? */
  leaves: boolean;
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

/** An upstream. */
export class Upstream {
  readonly sockets: Set<UpstreamSocket> = new Set();
  audience: Audience | undefined;
  #server!: Server;
  readonly #address: { host: string; port: number };

  /** @param host a loopback address that nobody else listens on, so that it can come back to its port. */
  constructor(host: string) {
    this.#address = { host, port: 0 };
  }

  /** Where it listens. */
  get target(): string {
    return `${this.#address.host}:${this.#address.port}`;
  }

  /** Starts it, at the address it had. */
  async revive(): Promise<void> {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ ...this.#address, backlog: 511 }, resolve);
    });
    const address = this.#server.address();
    if (address && typeof address === "object") this.#address.port = address.port;
  }

  /** Kills it: its connections are reset, and nobody listens. */
  kill(): void {
    this.#server.close();
    for (const { socket } of this.sockets) {
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
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
      leaves: false,
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
          soiledAt: Infinity,
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
