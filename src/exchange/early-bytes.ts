// What a client sends behind an upgrade before the upstream has agreed to it. Used by exchange.ts.
// The socket has to be read all the same: a reset or FIN of a client nobody reads from is never noticed.

import type { Socket } from "node:net";

/** A client that sends more than this before its 101 is not read from until the 101 is there. */
const MAX_EARLY_BYTES = 64 * 1024;

/** Collects early bytes. None is passed on before `take`: behind a refused upgrade they would be a smuggled request. */
export class EarlyBytes {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #length = 0;

  /** @param first what came in one piece with the request's head. */
  constructor(socket: Socket, first: Buffer) {
    this.#socket = socket;
    this.#keep(first);
    socket.on("data", this.#keep);
  }

  /** Stops collecting and hands over everything, in order. */
  take(): Buffer {
    this.#socket.off("data", this.#keep);
    return Buffer.concat(this.#chunks);
  }

  /** The upgrade was refused: what came is dropped, and what follows too. */
  drop(): void {
    this.#socket.off("data", this.#keep);
    this.#chunks = [];
    this.#socket.resume();
  }

  readonly #keep = (chunk: Buffer): void => {
    this.#length += chunk.length;
    if (chunk.length > 0) this.#chunks.push(chunk);
    if (this.#length >= MAX_EARLY_BYTES) this.#socket.pause();
  };
}
