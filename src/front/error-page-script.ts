// What the page for a failure does in a browser: times in the reader's own way, and, while the upstream is away, asking
// for it. Read by error-page.ts; one string of plain JavaScript each.

import { PAGE_WORDS } from "../core/page-words.ts";

/** A dot as the icon of the tab. */
export function icon(color: string): string {
  return `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='%23${color}'/></svg>`;
}

/** For every page: moments become times of day. */
export const TIMES: string = `${PAGE_WORDS}for (const t of document.querySelectorAll("time")) t.textContent = clock(t.dateTime);
`;

// The very page is asked for, with a HEAD that wants no page: the answer is anything but ours once the upstream is back.
// Such a request is held, so it comes back with the upstream. Cloudflare puts answers of its own in place of 502, 504
// and what it cannot reach (52x): they are not it either. The state is written only when it changes, so that a screen
// reader is not interrupted; what counts up beside it is not read out.
/** For a page that waits. */
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
