// How a request may be sent: again and again or only once, on a pooled connection or not. Made by exchange.ts.
// One that may be sent only once goes on a pooled connection if it is short and all of it is there.

import type { Proof } from "../core/outcome.ts";
import { MAX_ONCE_BYTES } from "../upstream/once.ts";
import type { Asker } from "../upstream/held.ts";
import type { Called } from "./call.ts";
import type { Admitted } from "./parts.ts";
import { bodyOf, isKept, type RequestBody } from "./request-body.ts";
import { isLast } from "../http/upstream-head.ts";
import { isRepeatable } from "./retry.ts";

/** A front sends head and body in two or three writes. Whoever takes longer than this is not waited for. */
const GATHER_MS = 10;

/** The request of one exchange. */
export class Sending implements Called {
  readonly method: string;
  readonly isLast: boolean;
  readonly body: RequestBody | undefined;
  /** May it be sent only once, unless it is proved that nobody got it? */
  readonly once: boolean;
  readonly #admitted: Admitted;
  readonly #isKept: boolean;
  /** Of one that may be sent only once: its length, if it could go on a pooled connection. */
  readonly #onceBytes: number | undefined;
  #ready: (() => void) | undefined;

  /** @param replayBytes of the body may be kept for another attempt. */
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

  /** Gets a connection; returns the function that gives up. Another attempt than the first is made on a fresh one. */
  acquire(asker: Asker, isFirst: boolean): () => void {
    const bytes = isFirst ? this.#onceBytes : undefined;
    const waits = bytes !== undefined && !this.#isWhole && this.#admitted.upstream.offersOnce(bytes);
    if (!waits) return this.#acquireNow(asker, isFirst);
    // All of it has to be there first, or it would not be safe on the connection that is there.
    let giveUp = (): void => {
      clearTimeout(timer);
      this.#ready = undefined;
    };
    this.#ready = () => {
      giveUp();
      giveUp = this.#acquireNow(asker, isFirst);
    };
    const timer = setTimeout(this.#ready, GATHER_MS);
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

  /** May it be sent again, as far as it has been sent? */
  mayRepeat(proof: Proof | undefined): boolean {
    return (!this.once || proof !== undefined) && (this.body?.replayable ?? true);
  }
}

/** Undefined where it has to go as it comes: its client waits for a 100, say, or it is too long. */
function onceBytesOf({ head, upgrade, text }: Admitted): number | undefined {
  const bytes = text.length + Number(head.length ?? 0);
  return upgrade || head.expectsContinue || bytes > MAX_ONCE_BYTES ? undefined : bytes;
}
