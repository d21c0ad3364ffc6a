// A connection of a client of the soak, and what can be seen on it.

import { connect } from "node:net";

/** Longer than any limit of the proxy: a client that has no outcome by then was forgotten by it. */
export const FORGOTTEN_MS = 20_000;

/**
 * What one exchange came to. `sure`: the proxy has to have counted it exactly like this; otherwise it may have, or not.
 *
 * @typedef {{ status: number | null; sure: boolean; failure?: string }} Played
 */

/** Is this answer complete? Only a FIN can complete one without framing. @param {string} text @param {boolean} fin */
export function isWhole(text, fin) {
  const bodyAt = text.indexOf("\r\n\r\n") + 4;
  if (bodyAt < 4) return false;
  const head = text.slice(0, bodyAt);
  if (/^transfer-encoding: *chunked/im.test(head)) return text.endsWith("\r\n0\r\n\r\n");
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  return length === undefined ? fin : text.length - bodyAt === Number(length);
}

/** A connection that notes what comes. */
export class Dialled {
  text = "";
  /** How it ended: with an error, or by FIN. */
  ended = undefined;
  onText = () => {};
  onEnded = () => {};

  /** @param {number} port */
  constructor(port) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.socket.on("error", (error) => this.#end(error.code ?? error.message));
    this.socket.on("data", (chunk) => {
      // Floods are not kept.
      if (this.text.length < 1_000_000) this.text += chunk.toString("latin1");
      this.onText(chunk);
    });
    // Node reports a RST right behind the last bytes as an end; then the kernel knows no peer, as after a FIN of ours.
    this.socket.on("end", () =>
      this.#end(this.socket.remoteAddress === undefined && !this.socket.writableEnded ? "rst" : "fin"),
    );
    this.socket.on("close", () => this.#end("closed"));
  }

  #end(how) {
    if (this.ended !== undefined) return;
    this.ended = how;
    this.onEnded();
  }

  send(text) {
    this.socket.write(text, "latin1");
  }

  /** Everything of the last answer, without those before it that only say that one will come. */
  get answer() {
    return this.text.replace(/^(HTTP\/1\.1 1(?!01)\d\d [^]*?\r\n\r\n)+/, "");
  }

  get status() {
    return Number(/^HTTP\/1\.1 (\d{3}) /.exec(this.answer)?.[1] ?? 0);
  }
}
