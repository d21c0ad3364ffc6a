// A web server that answers HEAD with a body, as many do, and 2,000 requests of eight clients.

import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { startDaemon } from "../kit/daemon.ts";
import { launch } from "../kit/launch.ts";
import { client } from "../kit/load.ts";
import { PYTHON } from "../kit/peer.ts";
import { until } from "../kit/until.ts";

test.skipIf(!existsSync(PYTHON)).each([
  ["announces it", ""],
  ["announces it, and the body looks like an answer", "like/"],
  ["does not announce it", "silent/"],
])(
  "2,000 mixed HEAD and GET to a server that answers HEAD with a body and %s: no wrong answer and no 502",
  { timeout: 120_000 },
  async (_, kind) => {
    const server = launch(PYTHON, [new URL("../kit/children/head_with_body.py", import.meta.url).pathname]);
    const port = await until(() => Number(server.stdout().trim()) || undefined, "the server's port");
    const daemon = await startDaemon(["--http", String(port)]);
    const worker = async (id: number): Promise<void> => {
      const ask = client(daemon.port, 1);
      for (let n = 0; n < 250; n += 1) {
        const isHead = (n + id) % 2 === 0;
        const path = `/${isHead ? kind : ""}${id}-${n}`;
        const answer = await ask({ method: isHead ? "HEAD" : "GET", path });
        expect(answer, path).toMatchObject({ status: 200, body: isHead ? "" : path });
      }
    };
    await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(worker));
  },
);
