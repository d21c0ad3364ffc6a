// The live page of --admin: one self-contained HTML document that follows /events. Loaded on the first request for it.

import { load } from "../core/packages.ts";
import { SCRIPT } from "./page-script.ts";
import { STYLE } from "./page-style.ts";

function tile(id: string, name: string, red = false): string {
  return `<div class="card tile${red ? " red" : ""}" id="chart-${id}" tabindex="0" role="img" aria-label="${name}">
<div class="name">${name}</div><div class="value">–</div>
<svg viewBox="0 0 300 60" preserveAspectRatio="none" aria-hidden="true"><polygon class="area"/><line class="base" x1="0" x2="300" y1="58" y2="58"/><polyline class="curve"/><line class="cursor" y1="0" y2="58" visibility="hidden"/></svg>
<div class="read"></div></div>`;
}

/** One column of a table. `by` is the key to sort by; the class `l` aligns left. */
interface Column {
  name: string;
  by?: string;
  className?: string;
}

function heads(columns: Column[]): string {
  return columns
    .map(({ name, by, className = "" }) => {
      const attributes = `scope="col"${className && ` class="${className}"`}`;
      return by === undefined
        ? `<th ${attributes}>${name}</th>`
        : `<th ${attributes} data-by="${by}" aria-sort="none"><button>${name}</button></th>`;
    })
    .join("");
}

/** A table, and the text that is shown instead while it is empty. */
function table(id: string, label: string, empty: string, columns: Column[], className = ""): string {
  return `<div class="card scroll ${className}" tabindex="0" role="region" aria-label="${label}"><p class="empty" id="no-${id}">${empty}</p><table id="${id}" hidden><thead><tr>${heads(columns)}</tr></thead><tbody></tbody></table></div>`;
}

function filter(id: string, label: string): string {
  return `<label class="filter">${label} <input type="search" id="${id}" autocomplete="off" spellcheck="false"></label>`;
}

const L = "l";
const TUNNELS: Column[] = [
  { name: "Tunnel", by: "id" },
  { name: "Client", by: "from", className: L },
  { name: "Upstream and path", by: "path", className: "l path" },
  { name: "Age", by: "age" },
  { name: "From client", by: "in" },
  { name: "To client", by: "out" },
  { name: "Client silent", by: "cs" },
  { name: "Upstream silent", by: "us" },
  { name: "Client RTT", by: "cr" },
  { name: "Upstream RTT", by: "ur" },
];
const IN_FLIGHT: Column[] = [
  { name: "Age" },
  { name: "Request", className: "l path" },
  { name: "Upstream", className: L },
  { name: "Phase", className: L },
  { name: "Attempts" },
  { name: "Client", className: L },
  { name: "Log id", className: L },
];
const BADLY: Column[] = [
  { name: "Time" },
  { name: "Request", className: "l path" },
  { name: "Upstream", className: L },
  { name: "Answer", className: L },
  { name: "What happened", className: "l what" },
  { name: "Code", className: L },
  { name: "Attempts" },
  { name: "Client", className: L },
  { name: "Log", className: L },
];
const ENDINGS = [
  "Ended by",
  "done",
  "closed (fin)",
  "reset (rst)",
  "too slow (timeout)",
  "no pong",
  "drained",
  "refused (limit)",
  "not HTTP (protocol)",
];
const ROUTES: Column[] = [
  { name: "Path", className: L },
  { name: "Upstream", className: L },
  { name: "Target", className: L },
];

/** The legend at the end of the page. */
const LEGEND: [word: string, meaning: string][] = [
  ["up", "connects and answers"],
  ["suspect", "failed once; probed again within a second"],
  ["reconnecting", "failed at least twice in a row; probed repeatedly, while requests are held"],
  ["not reached yet", "has not been reached since this proxy started"],
  ["held", "waits for an upstream that cannot be reached, for at most --hold"],
  ["outages survived", "how often the upstream was lost and came back; tries are attempts to connect meanwhile"],
  ["client, upstream, proxy", "the side that ended an exchange"],
  ["done", "a complete response, or a tunnel that was closed with a Close frame"],
  ["closed (fin)", "the connection was closed before that"],
  ["reset (rst)", "the connection was reset"],
  ["no pong", "a ping was not answered in time: the peer is half-open"],
  ["drained", "ended because this proxy shuts down"],
  ["refused (limit)", "refused: not allowed, too many, or too large"],
  [
    "p50, p95, p99",
    "50, 95 and 99 of 100 requests took at most this long, from the head to the end of the response, since the start",
  ],
  [
    "phase",
    "connect: no connection to the upstream yet; request_body: the request is being sent; waiting: for the response; response_body: the response is being sent",
  ],
];

const HTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>single-port</title><link rel="icon" id="icon" href="data:,"><style>${STYLE}</style></head>
<body><header><h1>single-port <span id="where"></span></h1><p class="facts" id="facts"></p><button class="end" id="pause" aria-pressed="false">Pause</button></header>
<main><div id="overall"><div role="status"><ul id="reasons"></ul></div><span id="since"></span></div>
<noscript><p class="card">This page needs JavaScript. The same figures are in <a href="status">/status</a>.</p></noscript>
<h2 class="sr">The last five minutes</h2>
<div class="grid tiles">${tile("requests", "Requests a second")}${tile("failed", "Ended badly a second", true)}${tile("tunnels", "Open tunnels")}${tile("tunnelBytes", "Tunnel bytes a second")}</div>
<p class="facts" id="sums"></p><p class="facts" id="process"></p>
<h2>Upstreams</h2><div class="grid links" id="links"></div>
<h2>In flight and held, oldest first <span class="facts" id="flight-count"></span></h2>
${table("flight", "In flight and held", "Nothing is being served.", IN_FLIGHT, "tall")}
<div class="bar"><h2>Tunnels <span class="facts" id="tunnel-count"></span></h2>${filter("tunnel-filter", "Filter")}
<label class="filter narrow">Sort by <select id="tunnel-sort">${TUNNELS.map(({ by, name }) => `<option value="${by}">${name}</option>`).join("")}</select></label></div>
${table("tunnels", "Tunnels", "No tunnel is open.", TUNNELS)}
<h2>How exchanges ended, by side</h2>
<div class="card scroll" tabindex="0" role="region" aria-label="Endings"><table id="endings"><thead><tr>${heads(ENDINGS.map((name) => ({ name })))}</tr></thead><tbody></tbody></table></div>
<div class="bar"><h2>Ended badly, latest first <span class="facts" id="badly-count"></span></h2>${filter("badly-filter", "Filter")}</div>
${table("badly", "Ended badly", "Nothing so far.", BADLY, "tall")}
<h2>Routes</h2>
${table("routes", "Routes", "Not known yet.", ROUTES)}
<details class="card legend"><summary>What the words mean</summary><dl>${LEGEND.map(([word, meaning]) => `<dt>${word}</dt><dd>${meaning}</dd>`).join("")}</dl></details>
</main>
<footer><a href="ready">/ready</a><a href="status">/status</a><a href="metrics">/metrics</a><a href="live">/live</a></footer>
<p class="sr" role="status" id="copied"></p>
<script>${SCRIPT}</script></body></html>
`;

function hashOf(text: string): string {
  const { createHash } = load("node:crypto") as typeof import("node:crypto");
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

/** The page and its Content-Security-Policy, which allows the page's own script only. */
export function livePage(): { html: string; policy: string } {
  return { html: HTML, policy: POLICY };
}
