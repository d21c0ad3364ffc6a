// Keeps the bytes that a client sends behind an upgrade before the upstream's 101. Used by exchange.ts.
// The client's socket has to be read meanwhile: node reports neither RST nor FIN on a paused socket.

import type { Socket } from "node:net";

/** A client that sends more than this before the 101 is paused until the 101 comes. */
const MAX_EARLY_BYTES = 64 * 1024;

/** Collects early bytes. They must not go to the upstream before its 101: there they could be a smuggled request. */
export class EarlyBytes {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #length = 0;

  /** @param first bytes that came in one chunk with the request's head. */
  constructor(socket: Socket, first: Buffer) {
    this.#socket = socket;
    this.#keep(first);
    socket.on("data", this.#keep);
  }

  /** Stops collecting; returns all bytes, in order. */
  take(): Buffer {
    this.#socket.off("data", this.#keep);
    return Buffer.concat(this.#chunks);
  }

  /** The upgrade was refused: discards these bytes, and all that follow. */
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
