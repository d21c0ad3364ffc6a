// Sparse traffic: requests that come in the moment when idle connections of the front, or of single-port, time out.

import type { ServerResponse } from "node:http";
import { head, type RawClient } from "./client.ts";
import type { Front } from "./fronts.ts";
import { nextResponse } from "./messages.ts";
import { httpUpstream } from "./upstream.ts";
import { until } from "./until.ts";

/** How many at a time, and how far apart: one of them meets the moment. */
const AT_ONCE = 30;
const STEP_MS = 5;
const ROUND_MS = 10_000;

/** What of a front is needed here. */
export type Served = Pick<Front, "dial" | "host">;

/** An upstream that answers a POST when all of a round are there, so that each has a connection of its own. */
export interface Sparse {
  port: number;
  /**
   * Sends a round of POSTs, which nobody may send twice, `gapMs` after the last round was answered and STEP_MS apart,
   * each on a connection to the front that stays. Resolves with their statuses, 0 for none.
   */
  round: (gapMs: number) => Promise<number[]>;
}

/** Starts the upstream; `dial` and `host` are the front's, once it runs. */
export async function sparseUpstream(front: () => Served): Promise<Sparse> {
  let waiting: ServerResponse[] = [];
  const web = await httpUpstream((req, res) => {
    req.resume();
    if (req.method === "POST") waiting.push(res);
    else res.end();
  });
  const clients: (RawClient | undefined)[] = [];
  let answered = performance.now();
  const post = async (n: number, at: number): Promise<number> => {
    const client = (clients[n] ??= await front().dial());
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, at - performance.now())));
    client.send(`${head("POST / HTTP/1.1", `Host: ${front().host}`, "Content-Length: 4")}body`);
    const status = await nextResponse(client, "POST", ROUND_MS).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status !== 200) clients[n] = undefined;
    return status;
  };
  return {
    port: web.port,
    round: async (gapMs) => {
      waiting = [];
      let failed = 0;
      const began = answered + gapMs;
      const all = Array.from({ length: AT_ONCE }, async (_, n) => {
        const status = await post(n, began + n * STEP_MS);
        if (status !== 200) failed += 1;
        return status;
      });
      await until(() => waiting.length + failed >= AT_ONCE, "all of a round", ROUND_MS);
      for (const res of waiting) res.end("ok");
      answered = performance.now();
      return await Promise.all(all);
    },
  };
}
