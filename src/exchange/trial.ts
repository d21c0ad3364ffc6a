// A request that may be sent only once, sent on a connection that had been idle: what became of its bytes.
// Made by call.ts. It ends no connection.

import type { Socket } from "node:net";
import type { Proof } from "../core/outcome.ts";
import { isReset } from "../core/sockets.ts";
import { MAX_ONCE_BYTES } from "../upstream/once.ts";
import { proofOf, type Evidence } from "./proof.ts";
import type { RequestBody } from "./request-body.ts";

/**
 * How long a RST is waited for behind a FIN, and how often it is looked for: a round trip and a little. Well below a
 * second, the shortest time after which a keepalive probe of ours could be answered with one.
 */
const RESET_WITHIN_MS = 300;
const LOOK_EVERY_MS = 5;

/** Where head and body are put together: a buffer is one write and one copy, strings and buffers are several of both. */
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

  /** Writes all of the request in one call of the system: a second write would be answered with a RST by itself. */
  send(head: string, body: RequestBody | undefined): void {
    const socket = this.#socket;
    let bytes = scratch.write(head, "latin1");
    if (body) bytes += body.copyTo(scratch, bytes);
    socket.write(scratch.subarray(0, bytes));
    const { errored, writableLength } = socket;
    this.#evidence.bytes = bytes;
    this.#evidence.unwritten = errored !== null && "syscall" in errored && errored.syscall === "write";
    this.#evidence.whole = !errored && writableLength === 0;
    // What the system has not taken is still written from there.
    if (writableLength > 0) scratch = Buffer.allocUnsafeSlow(MAX_ONCE_BYTES);
  }

  /** A FIN has come. Calls `then`, at once or soon, when it is known whether a RST follows it. */
  fin(then: (reset: boolean) => void): void {
    const evidence = this.#evidence;
    const socket = this.#socket;
    const last = performance.now() + RESET_WITHIN_MS;
    const look = (): boolean => {
      evidence.resetBehindFin = isReset(socket);
      // Without a proof there is nothing to wait for.
      if (!evidence.resetBehindFin && provable(evidence) && performance.now() < last) return false;
      this.stop();
      then(evidence.resetBehindFin);
      return true;
    };
    if (look()) return;
    // A FIN of ours would be answered with a RST, too. Node sends one behind this event, unless it is told not to.
    socket.allowHalfOpen = true;
    this.#looks = setInterval(look, LOOK_EVERY_MS);
  }

  /** Nobody waits any more. */
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
