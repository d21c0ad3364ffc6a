// Clients that connect in the moment in which the previous instance closes its listener (src/life/retire.ts).

import { expect, test } from "vitest";
import { client } from "../kit/load.ts";
import { line, shares, version } from "../kit/takeovers.ts";
import { httpUpstream } from "../kit/upstream.ts";
import { within } from "../kit/until.ts";

test.skipIf(!shares)(
  `a takeover resets nobody who waits to be accepted (on ${version}; needs Node 22.12 or later, and Linux)`,
  async () => {
    const web = await httpUpstream((_req, res) => res.end("ok"));
    const { port, next } = await line("--http", String(web.port), "--drain", "10s");
    let current = await next();
    // As many fresh connections as the machine can make: without the plug every other takeover loses one or more.
    const fresh = client(port);
    const bad: string[] = [];
    let asked = 0;
    const over = new AbortController();
    const ask = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const { status, error } = await fresh({ headers: { connection: "close" } });
        asked += 1;
        if (status !== 200) bad.push(`${status} ${error}`);
      }
    };
    const asking = Array.from({ length: 4 }, ask);
    for (let i = 0; i < 6; i += 1) {
      const older = current;
      current = await next();
      expect(await within(older.exited, "the older one to end", 10_000)).toBe(0);
    }
    over.abort();
    await within(Promise.all(asking), "the last answers");
    expect(bad).toEqual([]);
    expect(asked).toBeGreaterThan(100);
  },
  60_000,
);
