// The HTML error page. Called by refuse.ts; pure.
// Loads nothing from outside: other files of the site are most likely behind the same broken upstream.

import type { Failure, FailureCode } from "../core/errors.ts";
import { icon, TIMES, WAITING } from "./error-page-script.ts";

/** Since when an upstream cannot be reached, and when it was last dialled. */
export interface Away {
  since: Date;
  triedAt: Date;
}

/** What the page says beside the failure. */
export interface PageFacts {
  id: string;
  away: Away | undefined;
  /** May the page repeat the request by itself? True for GET and HEAD. */
  repeatable: boolean;
}

/** The headline and a sentence for each failure a person can meet in a browser. */
const WORDS: Partial<Record<FailureCode, readonly [headline: string, sentence: string]>> = {
  upstream_unavailable: ["The dashboard is not running", "It may be restarting."],
  upstream_reset: ["The dashboard closed the connection", "It did so before it responded, so it may be restarting."],
  upstream_bad_response: [
    "The dashboard sent an invalid response",
    "The response is not valid HTTP. The log of the dashboard should say more.",
  ],
  upstream_header_too_large: [
    "The dashboard's response headers are too large",
    "They are larger than this server allows (--max-header-size).",
  ],
  upstream_timeout: ["The dashboard does not answer", "It accepted the request, but sent no response in time."],
  too_many: ["Too busy at the moment", "Too many requests are waiting for the dashboard already."],
  draining: ["Restarting", "This server is shutting down. It should be back in a moment."],
};

/** Failures that pass by themselves: the page polls. */
const PASSING = new Set<FailureCode>([
  "upstream_unavailable",
  "upstream_reset",
  "upstream_timeout",
  "too_many",
  "draining",
]);

/** Failures after which it is not known whether the upstream acted on the request. */
const UNSURE = new Set<FailureCode>([
  "upstream_reset",
  "upstream_bad_response",
  "upstream_header_too_large",
  "upstream_timeout",
]);

const STYLE = `:root{color-scheme:light dark;--bg:#f6f7f9;--fg:#1c2733;--dim:#5a6775;--line:#d9dee5;--card:#fff;--mark:#b4540a}
@media(prefers-color-scheme:dark){:root{--bg:#12161b;--fg:#e4e9ef;--dim:#98a5b3;--line:#2b333d;--card:#1a2027;--mark:#f0a35e}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--bg);color:var(--fg);font:1rem/1.55 system-ui,sans-serif}
main{width:100%;max-width:32rem;padding:2rem;background:var(--card);border:1px solid var(--line);border-radius:12px;border-top:4px solid var(--mark)}
h1{margin:0 0 .5rem;font-size:1.5rem;line-height:1.25;text-wrap:balance}p{margin:.5rem 0}.state{margin-top:1.25rem;font-weight:600}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:1.25rem 0 0;padding-top:1.25rem;border-top:1px solid var(--line);font-size:.875rem;color:var(--dim)}
dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}a{color:inherit}
button{font:inherit;font-weight:600;min-height:44px;padding:.5rem 1.25rem;margin-top:.5rem;color:inherit;background:none;border:1px solid var(--dim);border-radius:8px;cursor:pointer}
button:hover{border-color:var(--fg)}:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
@media(max-width:30rem){body{padding:.75rem}main{padding:1.25rem}dl{gap:.25rem .75rem}}`;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** The rows of a waiting page. Durations, not times, are sent: the browser's clock may differ from this machine's. */
function waitingRows(away: Away | undefined): string[] {
  const now = Date.now();
  const ago = (date: Date): number => Math.max(0, now - date.getTime());
  const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;
  // Without a date of the last dial: the request that gets this page was the last try.
  const tried = `<dt>Last tried</dt><dd id="tried" data-ms="${away ? ago(away.triedAt) : 0}">just now</dd>`;
  if (!away) return [tried];
  const iso = away.since.toISOString();
  const ms = ago(away.since);
  return [
    `<dt>Down for</dt><dd><span id="away" data-ms="${ms}">${seconds(ms)}</span>, since <time datetime="${iso}">${iso}</time></dd>`,
    tried,
  ];
}

/** The page for one failure. */
export function errorPage(failure: Failure, facts: PageFacts): string {
  const [headline, sentence] = WORDS[failure.code] ?? ["This did not work", failure.message];
  const asks = facts.repeatable && PASSING.has(failure.code);
  const server = failure.upstream === undefined || failure.upstream === "http" ? "web server" : failure.upstream;
  const rows = [`<dt>Server</dt><dd>${escape(server)}</dd>`];
  rows.push(...(asks ? waitingRows(facts.away) : []));
  const { why } = failure;
  if (why) rows.push(`<dt>Received</dt><dd>${escape(why.seen)}</dd>`);
  if (why?.option !== undefined) rows.push(`<dt>To allow it</dt><dd>${escape(why.option)}</dd>`);
  rows.push(`<dt>Error</dt><dd>${failure.status} ${failure.code}</dd>`, `<dt>Request</dt><dd>${escape(facts.id)}</dd>`);
  const state = asks
    ? `<p class="state" id="state" role="status">Waiting for it to come back…</p><button id="try">Try now</button><noscript><meta http-equiv="refresh" content="5"><style>#try{display:none}</style></noscript>`
    : facts.repeatable
      ? `<p class="state"><a href="">Try again</a></p>`
      : UNSURE.has(failure.code)
        ? `<p class="state">It is not known whether the dashboard acted on what you sent. Go back and check before you send it again.</p>`
        : `<p class="state">What you sent was not delivered. Go back and send it again.</p>`;
  const promise = asks ? " This page opens it as soon as it is back." : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>${escape(headline)}</title><link rel="icon" id="icon" href="${icon("c46210")}"><style>${STYLE}</style></head>
<body><main><h1>${escape(headline)}</h1><p>${escape(sentence)}${promise}</p>${state}<dl>${rows.join("")}</dl></main>
<script>${TIMES}${asks ? WAITING : ""}</script></body></html>
`;
}
