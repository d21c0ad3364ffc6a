// The live page of --admin: one self-contained HTML document that follows /events. Loaded when asked for.

import { createHash } from "node:crypto";
import { SCRIPT } from "./page-script.ts";
import { STYLE } from "./page-style.ts";

function tile(id: string, name: string, red = false): string {
  return `<figure class="card tile${red ? " red" : ""}" id="chart-${id}" tabindex="0" role="img" aria-label="${name}">
<figcaption class="name">${name}</figcaption><div class="value">–</div>
<svg viewBox="0 0 300 60" preserveAspectRatio="none" aria-hidden="true"><polygon class="area"/><line class="base" x1="0" x2="300" y1="58" y2="58"/><polyline class="curve"/><line class="cursor" y1="0" y2="58" visibility="hidden"/></svg>
<div class="read"></div></figure>`;
}

/** `by` names a column of the script's table; `wide` ones are left out on a phone. */
function column(by: string, name: string, className = ""): string {
  return `<th scope="col" data-by="${by}"${className && ` class="${className}"`} aria-sort="none"><button>${name}</button></th>`;
}

function head(...names: [name: string, className?: string][]): string {
  return names
    .map(([name, className]) => `<th scope="col"${className ? ` class="${className}"` : ""}>${name}</th>`)
    .join("");
}

const TUNNEL_COLUMNS = [
  column("id", "Tunnel"),
  column("path", "Upstream and path", "l path"),
  column("age", "Age"),
  column("in", "From client"),
  column("out", "To client"),
  column("cs", "Client silent", "wide"),
  column("us", "Upstream silent", "wide"),
  column("cr", "Client RTT"),
  column("ur", "Upstream RTT"),
].join("");

const HTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>single-port</title><link rel="icon" id="icon" href="data:,"><style>${STYLE}</style></head>
<body><header><h1>single-port <span id="where"></span></h1><p class="facts" id="facts"></p><button class="end" id="pause" aria-pressed="false">Pause</button></header>
<main><div id="overall"><div role="status"><ul id="reasons"></ul></div><span id="since"></span></div>
<noscript><p class="card">This page needs JavaScript. The same figures are in <a href="status">/status</a>.</p></noscript>
<div class="live">
<h2 class="sr">The last five minutes</h2>
<div class="grid">${tile("requests", "Requests a second")}${tile("failed", "Ended badly a second", true)}${tile("tunnels", "Open tunnels")}${tile("tunnelBytes", "Tunnel bytes a second")}</div>
<p class="facts" id="sums"></p>
<h2>Upstreams</h2><div class="grid links" id="links"></div>
<h2>Tunnels <span class="facts" id="tunnel-count"></span></h2>
<div class="card scroll" tabindex="0" role="region" aria-label="Tunnels"><p class="empty" id="no-tunnels">No tunnel is open.</p><table id="tunnels" hidden><thead><tr>${TUNNEL_COLUMNS}</tr></thead><tbody></tbody></table></div>
<h2>How exchanges ended, by side</h2>
<div class="card scroll" tabindex="0" role="region" aria-label="Endings"><table id="endings"><thead><tr>${head(["Ended by"], ["done"], ["closed (fin)"], ["reset (rst)"], ["too slow (timeout)"], ["no pong"], ["drained"], ["refused (limit)"], ["not HTTP (protocol)"])}</tr></thead><tbody></tbody></table></div>
<h2>Ended badly, latest first</h2>
<div class="card scroll tall" tabindex="0" role="region" aria-label="Ended badly"><p class="empty" id="no-badly">Nothing so far.</p><table id="badly" hidden><thead><tr>${head(["Time"], ["Upstream", "l"], ["Request", "l path"], ["By", "l"], ["How", "l"], ["Phase", "l wide"], ["After"], ["Answer", "l"], ["Log id", "l wide"])}</tr></thead><tbody></tbody></table></div>
</div></main>
<footer><a href="ready">/ready</a><a href="status">/status</a><a href="metrics">/metrics</a><a href="live">/live</a></footer>
<script>${SCRIPT}</script></body></html>
`;

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

const POLICY = [
  "default-src 'none'",
  `script-src ${hashOf(SCRIPT)}`,
  `style-src ${hashOf(STYLE)}`,
  "img-src data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join("; ");

/** The page, and its Content-Security-Policy: it runs its own script, and nothing that a peer could get into it. */
export function livePage(): { html: string; policy: string } {
  return { html: HTML, policy: POLICY };
}
