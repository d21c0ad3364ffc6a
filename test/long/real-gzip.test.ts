// A real nginx as the web server: it compresses for clients behind us only if the request has no Via.

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";
import { serving, temporaryFolder } from "../kit/programs.ts";
import { deadPort } from "../kit/upstream.ts";

const NGINX = "/usr/sbin/nginx";
const PAGE = "<p>the same words again</p>\n".repeat(1000);

/** An nginx that serves one page, and compresses as it does by default. */
async function nginx(): Promise<number> {
  const [folder, port] = [await temporaryFolder(), await deadPort()];
  await writeFile(join(folder, "index.html"), PAGE);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${folder};`);
  const site = `default_type text/html; gzip on; server { listen 127.0.0.1:${port}; root ${folder}; }`;
  const main = `daemon off; master_process off; pid ${folder}/pid; error_log stderr; events {}`;
  await writeFile(join(folder, "nginx.conf"), `${main} http { access_log off; ${temporary.join(" ")} ${site} }\n`);
  await serving(port, NGINX, ["-p", folder, "-c", join(folder, "nginx.conf")]);
  return port;
}

test.skipIf(!existsSync(NGINX))("nginx compresses behind --via off, and does not behind Via", async () => {
  const port = await nginx();
  const page = async (via: string): Promise<[string | undefined, string]> => {
    const daemon = await startDaemon(["--http", String(port), "--via", via]);
    const answer = await ask(daemon.port, head("GET / HTTP/1.1", "Host: a", "Accept-Encoding: gzip"));
    return [answer.field("content-encoding"), answer.body];
  };
  const [coding, packed] = await page("off");
  expect([coding, gunzipSync(Buffer.from(packed, "latin1")).toString()]).toEqual(["gzip", PAGE]);
  expect(await page("on")).toEqual([undefined, PAGE]);
});
