// A POST is acted on once at most: a short run of `npm run once`.

import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { run } from "../kit/command.ts";
import { NODE } from "../kit/daemon.ts";

vi.setConfig({ testTimeout: 400_000 });

interface Counts {
  proxies: number;
  posts: number;
  status502: number;
  pooled: number;
  twice: number;
  unseen: number;
}

interface Result {
  rows: { mode: string; bytes: number; wrong: number; counts: Record<string, number> }[];
  servers: Record<string, { pooled: Counts; dialled: Counts }>;
}

const SCRIPT = fileURLToPath(new URL("../once/run.mjs", import.meta.url));
const POSTS = 1200;

test.skipIf(process.platform !== "linux")(
  "what has a proof was not acted on, and no POST was acted on twice",
  async () => {
    const args = [SCRIPT, "--tries", "200", "--posts", String(POSTS), "--json"];
    const { stdout, stderr } = await run(NODE, args, {}, 380_000);
    expect(stderr).toBe("");
    const { rows, servers } = JSON.parse(stdout) as Result;
    for (const { mode, bytes, wrong } of rows) expect([mode, bytes, wrong]).toEqual([mode, bytes, 0]);
    // The races did happen, and a long request has no proof of the one kind.
    const known = new Set(rows.flatMap(({ counts }) => Object.keys(counts)));
    for (const what of ["unread", "none, FIN, acted on", "not sent"]) expect(known).toContain(what);
    for (const { counts, bytes } of rows) if (bytes > 1200) expect(Object.keys(counts)).not.toContain("unread");

    for (const [name, { pooled, dialled }] of Object.entries(servers)) {
      for (const counts of [pooled, dialled])
        expect([name, counts]).toMatchObject([name, { posts: POSTS, twice: 0, unseen: 0 }]);
      expect([name, dialled.pooled]).toEqual([name, 0]);
      // Each new proxy trusts the server until it is caught, and eight are on their way at most.
      if (name.includes("promises 5 s")) expect(pooled.status502).toBeLessThanOrEqual(8 * pooled.proxies);
      if (name.includes("promises nothing")) expect(pooled).toMatchObject({ pooled: 0, status502: 0 });
      else expect(pooled.pooled).toBeGreaterThan(0);
    }
    expect(Object.keys(servers)).toHaveLength(3);
  },
);
