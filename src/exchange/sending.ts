// Decides how a request may be sent: repeatedly or only once, on a pooled connection or a fresh one. Made by
// exchange.ts. A request that may be sent only once uses a pooled connection if it is short and has arrived completely
// (proof.ts).

import type { Proof } from "../core/outcome.ts";
import { MAX_ONCE_BYTES } from "../upstream/once.ts";
import type { Asker } from "../upstream/held.ts";
import type { Called } from "./call.ts";
import type { Admitted } from "./parts.ts";
import { bodyOf, isKept, type RequestBody } from "./request-body.ts";
import { isLast } from "../http/upstream-head.ts";
import { isRepeatable } from "./retry.ts";

/**
 * How long to wait for the rest of a short body, in milliseconds: a front sends head and body in two or three writes.
 */
const GATHER_MS = 10;

/** The request of one exchange. */
export class Sending implements Called {
  readonly method: string;
  readonly isLast: boolean;
  readonly body: RequestBody | undefined;
  /** May the request be sent only once, unless it is proved that no server has read it? */
  readonly once: boolean;
  readonly #admitted: Admitted;
  readonly #isKept: boolean;
  /** The length of a request that may be sent only once, if it could use a pooled connection; undefined otherwise. */
  readonly #onceBytes: number | undefined;
  #ready: (() => void) | undefined;

  /** @param replayBytes max bytes of the body that are kept for another attempt. */
  constructor(admitted: Admitted, replayBytes: number, onBodyProgress: () => void) {
    const { req, head } = admitted;
    this.#admitted = admitted;
    this.method = req.method ?? "";
    this.isLast = isLast(this.method, head);
    this.once = !isRepeatable(this.method, head.idempotencyKey);
    this.#isKept = isKept(head, replayBytes);
    this.#onceBytes = this.once && this.#isKept ? onceBytesOf(admitted) : undefined;
    if (this.#onceBytes === undefined) this.body = bodyOf(admitted, this.once ? 0 : replayBytes, onBodyProgress);
    else {
      this.body = bodyOf(admitted, replayBytes, () => {
        if (this.#isWhole) this.#ready?.();
        onBodyProgress();
      });
    }
  }

  get #isWhole(): boolean {
    return this.body?.complete !== false;
  }

  /** Gets a connection; returns the function that gives up. Only the first attempt may use a pooled connection. */
  acquire(asker: Asker, isFirst: boolean): () => void {
    const bytes = isFirst ? this.#onceBytes : undefined;
    if (bytes === undefined || !this.#admitted.upstream.offersOnce(bytes)) return this.#acquireNow(asker, isFirst);
    let giveUp = (): void => {};
    const act = (): void => {
      giveUp = this.#acquireNow(asker, isFirst);
    };
    // Node does not know of a FIN that has arrived before the event loop has polled the sockets again.
    const look = (): void => {
      giveUp = afterLook(act);
    };
    if (this.#isWhole) look();
    else {
      // Waits for the whole body: only a request in one write is safe on the pooled connection (proof.ts).
      const timer = setTimeout(() => this.#ready?.(), GATHER_MS);
      giveUp = () => {
        clearTimeout(timer);
        this.#ready = undefined;
      };
      this.#ready = () => {
        giveUp();
        look();
      };
    }
    return () => giveUp();
  }

  #acquireNow(asker: Asker, isFirst: boolean): () => void {
    const { upstream, patience, upgrade } = this.#admitted;
    return upstream.acquire(asker, {
      pooled: isFirst && !this.once && this.#isKept,
      onceBytes: isFirst && this.#isWhole ? this.#onceBytes : undefined,
      halfOpen: upgrade !== undefined,
      patience,
    });
  }

  /** May the request be sent again, after the bytes that were sent? */
  mayRepeat(proof: Proof | undefined): boolean {
    return (!this.once || proof !== undefined) && (this.body?.replayable ?? true);
  }
}

/** The request's length; undefined when it cannot be sent in one write: too long, or its client waits for a 100. */
function onceBytesOf({ head, upgrade, text }: Admitted): number | undefined {
  const bytes = text.length + Number(head.length ?? 0);
  return upgrade || head.expectsContinue || bytes > MAX_ONCE_BYTES ? undefined : bytes;
}

/**
 * Calls `then` once the event loop has polled all sockets again; returns the function that calls it off. The first
 * immediate runs in the current turn, so the second one is the first behind a poll.
 */
function afterLook(then: () => void): () => void {
  let immediate = setImmediate(() => {
    immediate = setImmediate(then);
  });
  return () => clearImmediate(immediate);
}
