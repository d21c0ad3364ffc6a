// The event loop that the proxy and its peers share in a lane: its turns, its lag, and waiting for what happens in it.

import type { Socket } from "node:net";

const LOOK_MS = 20;
/** Lags below that are ordinary. */
const WORTH_KEEPING_MS = 50;
const KEPT_FOR_MS = 10_000;

const lag = { max: 0, last: performance.now() };
const lags: { at: number; ms: number }[] = [];
setInterval(() => {
  const now = performance.now();
  lag.max = Math.max(lag.max, now - lag.last - 10);
  lag.last = now;
}, 10).unref();
setInterval(() => {
  const now = performance.now();
  if (lag.max > WORTH_KEEPING_MS) lags.push({ at: now, ms: lag.max });
  lag.max = 0;
  while ((lags[0]?.at ?? Infinity) < now - KEPT_FOR_MS) lags.shift();
}, 50).unref();

/** The longest that our own event loop stood still since then, in milliseconds. */
export function lagSince(began: number): number {
  const now = performance.now() - lag.last - 10;
  return Math.max(lag.max, now, ...lags.filter(({ at }) => at > began).map(({ ms }) => ms));
}

/** The next turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Waits for what others do: they call `wake()`. One waits at a time. */
export class Waiting {
  #wake: (() => void) | undefined;

  wake(): void {
    this.#wake?.();
  }

  /** Waits until `over` holds, for so long; returns whether it does. Time in which our own loop stood still is free. */
  async until(over: () => boolean, ms: number): Promise<boolean> {
    let left = ms;
    while (!over()) {
      if (left <= 0) return false;
      const before = performance.now();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
      left -= Math.min(performance.now() - before, 1.5 * LOOK_MS);
    }
    return true;
  }

  /** The same for what costs too much to be asked each time that something happens. */
  async untilSeldom(over: () => boolean, ms: number): Promise<boolean> {
    for (let left = ms; !over(); left -= LOOK_MS) {
      if (left <= 0) return false;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return true;
  }
}

/** Sends FIN, once. */
export function end(socket: Socket): void {
  if (!socket.writableEnded) socket.end();
}

/** Resets a connection. One on which a FIN is just being sent cannot be reset: node would forget to close it. */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** Leaves what comes to the kernel, for good: node would go on reading into its own buffer behind `pause()`. */
export function stopReading(socket: Socket): void {
  const { _handle: handle } = socket as { _handle?: { readStop?(): void } };
  socket.pause();
  handle?.readStop?.();
}

/** A RST that comes with the last bytes looks like an end; the kernel then knows no peer any more. */
export function isReset(socket: Socket): boolean {
  const { _handle: handle } = socket as { _handle?: { getpeername?(name: object): number } };
  return (handle?.getpeername?.({}) ?? 0) !== 0;
}
