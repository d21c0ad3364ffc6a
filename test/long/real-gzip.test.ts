// A real nginx as the web server: it compresses for clients behind us only if the request has no Via, or it is told to.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";
import { noNginx, runNginx, temporaryFolder } from "../kit/programs.ts";

const PAGE = "<p>the same words again</p>\n".repeat(1000);

/** An nginx that serves one page, and compresses as it does by default, or is told to. */
async function nginx(more = ""): Promise<number> {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "index.html"), PAGE);
  return (await runNginx(`default_type text/html; gzip on; ${more}`, folder)).port;
}

test.skipIf(noNginx())(
  "nginx compresses behind --via off or with gzip_proxied any, and does not behind Via",
  async () => {
    const page = async (port: number, via: string): Promise<[string | undefined, string]> => {
      const daemon = await startDaemon(["--http", String(port), "--via", via]);
      const answer = await ask(daemon.port, head("GET / HTTP/1.1", "Host: a", "Accept-Encoding: gzip"));
      const { body } = answer;
      const coding = answer.field("content-encoding");
      return [coding, coding === "gzip" ? gunzipSync(Buffer.from(body, "latin1")).toString() : body];
    };
    const port = await nginx();
    expect(await page(port, "off")).toEqual(["gzip", PAGE]);
    expect(await page(port, "on")).toEqual([undefined, PAGE]);
    expect(await page(await nginx("gzip_proxied any;"), "on")).toEqual(["gzip", PAGE]);
  },
);
