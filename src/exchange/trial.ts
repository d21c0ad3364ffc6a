// Sends a request that may be sent only once on a reused connection, and collects evidence whether the upstream has
// read it (proof.ts). Made by call.ts. Ends no connection.

import type { Socket } from "node:net";
import type { Proof } from "../core/outcome.ts";
import { isReset } from "../core/sockets.ts";
import { MAX_ONCE_BYTES } from "../upstream/once.ts";
import { proofOf, type Evidence } from "./proof.ts";
import type { RequestBody } from "./request-body.ts";

/**
 * How long to wait for a RST behind a FIN, and how often to check, in milliseconds. A round trip and a little; well
 * below a second, the shortest time after which a keepalive probe of this side could cause a RST.
 */
const RESET_WITHIN_MS = 300;
const LOOK_EVERY_MS = 5;

/** Head and body are joined here, so that they are one write. Reused: the kernel usually takes all bytes at once. */
let scratch = Buffer.allocUnsafeSlow(MAX_ONCE_BYTES);

/** One request on one connection. */
export class Trial {
  readonly #socket: Socket;
  readonly #evidence: Evidence = {
    bytes: 0,
    whole: false,
    unwritten: false,
    resetBehindFin: false,
    responded: false,
  };
  #looks: NodeJS.Timeout | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Writes the whole request in one system call: a second write would by itself cause a RST. */
  send(head: string, body: RequestBody | undefined): void {
    const socket = this.#socket;
    let bytes = scratch.write(head, "latin1");
    if (body) bytes += body.copyTo(scratch, bytes);
    socket.write(scratch.subarray(0, bytes));
    const { errored, writableLength } = socket;
    this.#evidence.bytes = bytes;
    this.#evidence.unwritten = errored !== null && "syscall" in errored && errored.syscall === "write";
    this.#evidence.whole = !errored && writableLength === 0;
    // Bytes that the kernel has not taken are still written from that buffer.
    if (writableLength > 0) scratch = Buffer.allocUnsafeSlow(MAX_ONCE_BYTES);
  }

  /** A FIN has come. Calls `then`, at once or within RESET_WITHIN_MS, when it is known whether a RST follows. */
  fin(then: (reset: boolean) => void): void {
    const evidence = this.#evidence;
    const socket = this.#socket;
    const last = performance.now() + RESET_WITHIN_MS;
    const look = (): boolean => {
      evidence.resetBehindFin = isReset(socket);
      // Waits only where a RST would be a proof.
      if (!evidence.resetBehindFin && provable(evidence) && performance.now() < last) return false;
      this.stop();
      then(evidence.resetBehindFin);
      return true;
    };
    if (look()) return;
    // Keeps node from sending FIN after this event: a FIN of this side would cause a RST, too.
    socket.allowHalfOpen = true;
    this.#looks = setInterval(look, LOOK_EVERY_MS);
  }

  /** Stops waiting. */
  stop(): void {
    clearInterval(this.#looks);
  }

  /** How it is known that the upstream did not get the request. */
  proof(responded: boolean): Proof | undefined {
    return proofOf({ ...this.#evidence, responded });
  }
}

function provable(evidence: Evidence): boolean {
  return proofOf({ ...evidence, resetBehindFin: true }) !== undefined;
}
