// Browser code of the error page: shows times in the reader's locale, and polls until the upstream is back.
// Used by error-page.ts; each export is a string of plain JavaScript.

import { PAGE_WORDS } from "../core/page-words.ts";

/** A favicon: a dot of this colour. */
export function icon(color: string): string {
  return `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='%23${color}'/></svg>`;
}

/** For every error page: shows each <time> as a local time of day. */
export const TIMES: string = `${PAGE_WORDS}for (const t of document.querySelectorAll("time")) t.textContent = clock(t.dateTime);
`;

// The script sends HEAD for the page itself. The proxy holds that request like any other, so the answer comes as soon
// as the upstream is back. An answer counts as the upstream's when it has no X-Single-Port-Error and is none of the
// statuses that Cloudflare replaces by pages of its own (502, 504, 52x). The state text is written only when it
// changes, so that a screen reader is not interrupted; the counters beside it are not read out.
/** For an error page that waits for the upstream. */
export const WAITING: string = String.raw`(() => {
const $ = (id) => document.getElementById(id), state = $("state"), away = $("away"), tried = $("tried");
const set = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
const WAITS = "Waiting for it to come back…";
let wait = 1500, timer, asking, triedAt = performance.now() - Number(tried.dataset.ms);
const show = () => {
  if (away) set(away, age(performance.now() + Number(away.dataset.ms)));
  const ms = performance.now() - triedAt;
  set(tried, asking ? "now" : ms < 1000 ? "just now" : age(ms) + " ago");
};
const ask = async (words) => {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  if (words) set(state, words);
  show();
  try {
    const r = await fetch(location.href, { method: "HEAD", cache: "no-store", headers: { Accept: "application/json" }, signal: mine.signal });
    if (![502, 504].includes(r.status) && r.status < 520 && !r.headers.has("x-single-port-error")) {
      set(state, "It is back. Opening it…");
      document.title = "It is back";
      $("icon").href = "${icon("0a8f50")}";
      return location.reload();
    }
    set(state, WAITS);
  } catch {
    if (mine !== asking) return;
    set(state, "The connection to this server is lost. Still trying…");
  }
  asking = undefined;
  triedAt = performance.now();
  show();
  timer = setTimeout(ask, (wait = Math.min(wait * 1.2, 5000)));
};
timer = setTimeout(ask, 1000);
$("try").addEventListener("click", () => ask("Trying now…"));
setInterval(show, 1000);
show();
})();
`;
