// The short way of an event stream: whole chunks of its body go from one read to one write. Made by answer.ts when
// the head has gone; everything else that comes takes the long way, through call.ts.
//
// The reason: when an event goes to thousands of clients, the objects of each are in memory, and no longer in the
// processor's caches. To fetch those of the long way (call, parser, line, exchange, answer, limits) took an eighth of
// the time of an event.

import type { Socket } from "node:net";
import { writeLent } from "../core/lent.ts";
import type { Clock } from "../core/timer.ts";
import { dataInWholeChunks } from "../http/chunk-line.ts";
import type { ConnectionUser } from "../upstream/connection.ts";

/** The exchange that an event stream belongs to. */
export interface Relayed {
  /** The client's socket has no room for more bytes. */
  onBlocked(): void;
}

/** The long way: the call whose response the event stream is. */
export interface LongWay extends ConnectionUser {
  /** Does the next byte of the response begin a chunk? */
  readonly isAtChunk: boolean;
}

/** The first user of a connection whose response is an event stream. */
export class EventRelay implements ConnectionUser {
  /** Bytes of the body that went this way. */
  bytes = 0;
  /** When the last of them came, by the shared clock; -Infinity before the first. */
  lastByte: number = -Infinity;
  #isAtChunk: boolean;
  readonly #client: Socket;
  readonly #clock: Clock;
  readonly #owner: Relayed;
  readonly #long: LongWay;

  constructor(client: Socket, clock: Clock, long: LongWay, owner: Relayed) {
    this.#client = client;
    this.#clock = clock;
    this.#long = long;
    this.#isAtChunk = long.isAtChunk;
    this.#owner = owner;
  }

  onData(chunk: Buffer): void {
    const data = this.#isAtChunk ? dataInWholeChunks(chunk) : -1;
    if (data < 0) {
      this.#long.onData(chunk);
      this.#isAtChunk = this.#long.isAtChunk;
      return;
    }
    this.bytes += data;
    this.lastByte = this.#clock.now;
    if (!writeLent(this.#client, chunk)) this.#owner.onBlocked();
  }

  onDrain(): void {
    this.#long.onDrain();
  }

  onFin(): void {
    this.#long.onFin();
  }

  onClosed(): void {
    this.#long.onClosed();
  }
}
