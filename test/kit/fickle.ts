// An upstream that closes or resets its idle keep-alive connections at random moments (stale pooled connections).

import type { RequestListener } from "node:http";
import type { Socket } from "node:net";
import { httpUpstream, type HttpUpstream } from "./upstream.ts";

/** A random number generator that can be repeated (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Such an upstream, and how many connections it closed or reset. */
export interface Fickle extends HttpUpstream {
  ended: { fin: number; rst: number };
}

/** Ends each connection within `withinMs` after an answer, half of them with a RST, unless a request has come. */
export async function fickleUpstream(listener: RequestListener, withinMs: number, seed: number): Promise<Fickle> {
  const random = seeded(seed);
  const ended = { fin: 0, rst: 0 };
  const timers = new WeakMap<Socket, NodeJS.Timeout>();
  const upstream = await httpUpstream((req, res) => {
    const { socket } = req;
    clearTimeout(timers.get(socket));
    res.once("finish", () => {
      const politely = random() < 0.5;
      const end = (): void => {
        ended[politely ? "fin" : "rst"] += 1;
        if (politely) socket.destroy();
        else socket.resetAndDestroy();
      };
      timers.set(socket, setTimeout(end, random() * withinMs));
    });
    listener(req, res);
  });
  return { ...upstream, ended };
}
