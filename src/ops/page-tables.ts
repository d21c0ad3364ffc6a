// The part of the live page's script that fills its tables: in flight, tunnels, endings, ended badly, routes.
// Inserted by page-script.ts.

/** The middle of the script; uses functions that page-script.ts defines before it. */
export const TABLES: string = String.raw`
// -- tables --------------------------------------------------------------------------------------------------------
/** The names of the columns, which a phone shows beside each value. */
const labelsOf = (id) => [...document.querySelectorAll("#" + id + " thead th")].map((head) => ({ label: head.textContent, className: head.className }));
function cellsFor(id) {
  return labelsOf(id).map(({ label, className }) => {
    const cell = make("td", className);
    cell.dataset.label = label;
    return cell;
  });
}
/** Shows a table, or the text that stands in its place while it is empty. */
function fill(id, empty, words) {
  $("no-" + id).hidden = !empty;
  if (words) set($("no-" + id), words);
  $(id).hidden = empty;
}
/** Keeps table rows from report to report, by id, so that a selection in them stays. */
function keeper(id) {
  const rows = new Map(), body = $(id).tBodies[0];
  return (items, texts) => {
    const shown = new Set(items.map((one) => one.id));
    for (const [key, row] of rows) if (!shown.has(key)) { row.remove(); rows.delete(key); }
    items.forEach((one, index) => {
      let row = rows.get(one.id);
      if (!row) {
        rows.set(one.id, (row = make("tr")));
        row.append(...cellsFor(id));
      }
      texts(one).forEach((text, i) => { set(row.children[i], text); row.children[i].title = row.children[i].classList.contains("path") ? text : ""; });
      if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
    });
  };
}

const keepFlight = keeper("flight");
function drawFlight() {
  const list = report.inFlight;
  keepFlight(list, (one) => [age(one.ageMs), one.method + " " + one.path, one.route, one.held ? "held" : one.phase, count(one.attempts), one.from || "–", one.id]);
  fill("flight", list.length === 0, "Nothing is being served.");
  set($("flight-count"), report.requests > list.length ? list.length + " of " + count(report.requests) : count(report.requests));
}

const COLUMNS = {
  id: (t) => [t.id, t.id],
  from: (t) => [t.from, t.from || "–"],
  path: (t) => [t.path, t.route + " " + t.path],
  age: (t) => [t.ageMs, age(t.ageMs)],
  in: (t) => [t.client.bytes, bytes(t.client.bytes)],
  out: (t) => [t.upstream.bytes, bytes(t.upstream.bytes)],
  cs: (t) => [t.client.lastByteAgeMs, age(t.client.lastByteAgeMs)],
  us: (t) => [t.upstream.lastByteAgeMs, age(t.upstream.lastByteAgeMs)],
  cr: (t) => [t.client.rttMs ?? -1, rtt(t.client.rttMs)],
  ur: (t) => [t.upstream.rttMs ?? -1, rtt(t.upstream.rttMs)],
};
const MAX_ROWS = 100;
const heads = [...document.querySelectorAll("#tunnels th")];
const keepTunnels = keeper("tunnels");
// A report has the latest 200 tunnels only. When a filter is typed, all are fetched from /status.
let all, sortBy = "age", sortUp = true;
const wanted = (id) => $(id).value.trim().toLowerCase();

function drawTunnels() {
  const of = COLUMNS[sortBy], open = report.links.reduce((sum, link) => sum + link.tunnels, 0), filter = wanted("tunnel-filter");
  const from = filter && all && open > report.tunnels.length ? all : report.tunnels;
  const found = from.filter((t) => !filter || [t.id, t.from, t.route + " " + t.path].some((text) => text.toLowerCase().includes(filter)));
  const sorted = found.sort((a, b) => { const x = of(a)[0], y = of(b)[0]; return (x < y ? -1 : x > y ? 1 : 0) * (sortUp ? 1 : -1); }).slice(0, MAX_ROWS);
  keepTunnels(sorted, (tunnel) => heads.map((head) => COLUMNS[head.dataset.by](tunnel)[1]));
  for (const head of heads) head.setAttribute("aria-sort", head.dataset.by !== sortBy ? "none" : sortUp ? "ascending" : "descending");
  $("tunnel-sort").value = sortBy;
  fill("tunnels", sorted.length === 0, open === 0 ? "No tunnel is open." : "None of them matches.");
  set($("tunnel-count"), open > sorted.length ? sorted.length + " of " + count(open) : count(open));
}
function sortTunnels(by) {
  sortUp = sortBy === by ? !sortUp : true;
  sortBy = by;
  if (report && !lostAt) drawTunnels();
}
for (const head of heads) head.querySelector("button").addEventListener("click", () => sortTunnels(head.dataset.by));
$("tunnel-sort").addEventListener("change", ({ target }) => sortTunnels(target.value));
$("tunnel-filter").addEventListener("input", async () => {
  if (!report || lostAt) return;
  drawTunnels();
  if (!wanted("tunnel-filter") || report.links.reduce((sum, link) => sum + link.tunnels, 0) <= report.tunnels.length) return;
  try { all = (await (await fetch("status")).json()).tunnels; } catch { return; }
  if (!lostAt) drawTunnels();
});

const SIDES = ["client", "upstream", "proxy"];
const HOWS = ["done", "fin", "rst", "timeout", "no_pong", "drain", "limit", "protocol"];
const isGood = (side, how) => how === "done" || how === "drain" || (side === "client" && how === "fin");
const cells = {};
for (const side of SIDES) {
  const row = make("tr"), name = make("th", "", side), [, ...counts] = cellsFor("endings");
  name.scope = "row";
  row.append(name);
  HOWS.forEach((how, i) => {
    cells[side + " " + how] = counts[i];
    counts[i].className = "zero";
    counts[i].textContent = "0";
    row.append(counts[i]);
  });
  $("endings").tBodies[0].append(row);
}
function drawEndings() {
  for (const [ending, cell] of Object.entries(cells)) {
    const text = count(report.totals.endings[ending] ?? 0);
    if (cell.textContent === text) continue;
    const bad = !isGood(...ending.split(" "));
    cell.className = text === "0" ? "zero" : bad ? "badcell" : "";
    // Only cells that change after the page was opened are highlighted.
    if (drawn && bad) { void cell.offsetWidth; cell.classList.add("new"); }
    cell.textContent = text;
  }
}

// The first report has all exchanges that ended badly; later reports have the latest, which are put in front.
const KEPT_BADLY = 200;
let badly = [], latest = "";
const known = new Set();
function mergeBadly(list) {
  const had = new Set(badly.map((one) => one.id));
  badly = [...list.filter((one) => !had.has(one.id)), ...badly].slice(0, KEPT_BADLY);
}
function logOf(one) {
  return report.logCommand.replace("ID", one.id);
}
async function copy(button, text) {
  try { await navigator.clipboard.writeText(text); set($("copied"), "Copied: " + text); button.textContent = "copied"; }
  catch { getSelection().selectAllChildren(button.previousSibling); set($("copied"), "Selected: " + text); }
  setTimeout(() => (button.textContent = "copy"), 1500);
}
function drawBadly() {
  const filter = wanted("badly-filter");
  const list = badly.filter((one) => !filter || [one.id, one.from ?? "", one.route, one.method + " " + one.path, one.what, one.code ?? "", String(one.status), one.error ?? ""].some((text) => text.toLowerCase().includes(filter)));
  fill("badly", list.length === 0, badly.length === 0 ? "Nothing so far." : "None of them matches.");
  set($("badly-count"), badly.length === 0 ? "" : list.length < badly.length ? list.length + " of " + badly.length : String(badly.length));
  const key = filter + " " + list.map((one) => one.id).join();
  if (key === latest) return;
  latest = key;
  $("badly").tBodies[0].replaceChildren(...list.map((one) => {
    const row = make("tr", drawn && !known.has(one.id) ? "new" : ""), cells = cellsFor("badly");
    const status = one.status === 0 ? "none" : one.status + (one.error ? " " + one.error : "");
    const texts = [clock(one.at), one.method === "" ? "–" : one.method + " " + one.path, one.route || "–", status, one.what, one.code ?? "–", count(one.attempts), one.from || "–"];
    texts.forEach((text, i) => (cells[i].textContent = text));
    cells[1].title = one.path;
    const button = make("button", "small", "copy"), command = logOf(one);
    button.setAttribute("aria-label", "Copy the command that shows its line: " + command);
    button.addEventListener("click", () => copy(button, command));
    cells[8].append(make("code", "", command), button);
    known.add(one.id);
    row.append(...cells);
    return row;
  }));
}
$("badly-filter").addEventListener("input", () => report && drawBadly());

let routesDrawn = "";
function drawRoutes() {
  const key = JSON.stringify(report.routes);
  if (key === routesDrawn) return;
  routesDrawn = key;
  fill("routes", false);
  $("routes").tBodies[0].replaceChildren(...report.routes.map(({ path, upstream, target }) => {
    const row = make("tr"), cells = cellsFor("routes");
    [path === "*" ? "everything else" : path, upstream, target].forEach((text, i) => (cells[i].textContent = text));
    row.append(...cells);
    return row;
  }));
}

/** Empties the tables while the connection to the proxy is lost. */
function forgetTables() {
  keepFlight([]); keepTunnels([]);
  fill("flight", true, "Unknown."); fill("tunnels", true, "Unknown.");
  for (const id of ["flight-count", "tunnel-count"]) set($(id), "unknown");
  for (const cell of Object.values(cells)) { cell.className = "zero"; set(cell, "unknown"); }
}
`;
