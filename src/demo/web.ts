// The demo's web server: the page, a clock, downloads, and the paths of the buttons that cause faults. Run by part.ts
// as a child process.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { page } from "./page.ts";
import { killSelf, serve, type Hurt } from "./part.ts";

/** Twice a second, so that the page skips no second. */
const TICK_MS = 500;
/** A download is 1 MiB in 5 s: about the length of the default --drain. */
const CHUNK = Buffer.alloc(16 * 1024, "single-port ");
const CHUNKS = 64;
const CHUNK_EVERY_MS = 80;

/** Downloads in progress, by the id that each page chose. */
const downloads = new Map<string, ServerResponse>();

function clock(res: ServerResponse): void {
  res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const tick = (): boolean => res.write(`data: ${JSON.stringify({ now: Date.now(), pid: process.pid })}\n\n`);
  tick();
  const timer = setInterval(tick, TICK_MS);
  res.once("close", () => clearInterval(timer));
}

function download(res: ServerResponse, id: string): void {
  res.writeHead(200, {
    "Content-Type": "application/octet-stream",
    "Content-Length": CHUNK.length * CHUNKS,
    "Cache-Control": "no-store",
  });
  downloads.set(id, res);
  let left = CHUNKS;
  const timer = setInterval(() => {
    if (res.writableNeedDrain) return;
    res.write(CHUNK);
    left -= 1;
    if (left > 0) return;
    clearInterval(timer);
    res.end();
  }, CHUNK_EVERY_MS);
  res.once("close", () => {
    clearInterval(timer);
    if (downloads.get(id) === res) downloads.delete(id);
  });
}

/** The fault of each button, by path. */
const hurts: Record<string, (id: string) => void> = {
  "/hurt/download": (id) => downloads.get(id)?.socket?.resetAndDestroy(),
  "/hurt/socket": (id) => tellMux({ hurt: "socket", id }),
  "/hurt/mux": () => tellMux({ hurt: "kill" }),
  // Delayed, so that the answer to the button is sent first.
  "/hurt/web": () => void setTimeout(killSelf, 50),
};

function tellMux(hurt: Hurt): void {
  process.send?.(hurt);
}

/**
 * Does the request come from a page of another origin? The demo runs on a developer's machine, where any page on the
 * internet can send POST to loopback. Browsers send Sec-Fetch-Site, older ones Origin; other clients send neither.
 */
function isCrossSite(req: IncomingMessage): boolean {
  const site = req.headers["sec-fetch-site"];
  if (site !== undefined) return site !== "same-origin";
  const { origin, host } = req.headers;
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`;
}

const server = createServer((req, res) => {
  const [path = "", query] = (req.url ?? "").split("?");
  const id = new URLSearchParams(query).get("id") ?? "";
  const hurt = Object.hasOwn(hurts, path) ? hurts[path] : undefined;
  if (hurt) {
    if (req.method !== "POST") return void res.writeHead(405, { Allow: "POST" }).end();
    if (isCrossSite(req)) return void res.writeHead(403).end();
    res.writeHead(202, { "Cache-Control": "no-store" }).end();
    return hurt(id);
  }
  if (req.method !== "GET") return void res.writeHead(405, { Allow: "GET" }).end();
  if (path === "/clock") return clock(res);
  if (path === "/whoami") return void res.writeHead(200, { "Cache-Control": "no-store" }).end(String(process.pid));
  if (path === "/download") return download(res, id);
  if (path !== "/") return void res.writeHead(404).end();
  res.writeHead(200, {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    // No resources from elsewhere, and no other page may embed the buttons in a frame.
    "Content-Security-Policy":
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  });
  res.end(page);
});

serve(server, (hurt) => hurt.hurt === "kill" && killSelf());
