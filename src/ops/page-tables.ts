// The part of the live page's script that fills its tables: tunnels, endings, what ended badly. Read by page-script.ts.

/** The middle of the script: it uses what stands before it there. */
export const TABLES: string = String.raw`
// -- tables --------------------------------------------------------------------------------------------------------
const COLUMNS = {
  id: (t) => [t.id, t.id],
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
const rows = new Map();
const heads = [...document.querySelectorAll("#tunnels th")];

function drawTunnels() {
  const of = COLUMNS[sortBy], open = report.links.reduce((sum, link) => sum + link.tunnels, 0);
  const sorted = report.tunnels.slice().sort((a, b) => { const x = of(a)[0], y = of(b)[0]; return (x < y ? -1 : x > y ? 1 : 0) * (sortUp ? 1 : -1); }).slice(0, MAX_ROWS);
  const body = $("tunnels").tBodies[0], shown = new Set(sorted.map((t) => t.id));
  for (const [id, row] of rows) if (!shown.has(id)) { row.remove(); rows.delete(id); }
  sorted.forEach((tunnel, index) => {
    let row = rows.get(tunnel.id);
    if (!row) {
      rows.set(tunnel.id, (row = make("tr")));
      for (const head of heads) row.append(make("td", head.className));
    }
    heads.forEach((head, i) => set(row.children[i], COLUMNS[head.dataset.by](tunnel)[1]));
    row.children[1].title = tunnel.path;
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  for (const head of heads) head.setAttribute("aria-sort", head.dataset.by !== sortBy ? "none" : sortUp ? "ascending" : "descending");
  $("no-tunnels").hidden = open > 0;
  $("tunnels").hidden = open === 0;
  set($("tunnel-count"), open > sorted.length ? sorted.length + " of " + count(open) : count(open));
}
for (const head of heads) head.querySelector("button").addEventListener("click", () => {
  sortUp = sortBy === head.dataset.by ? !sortUp : true;
  sortBy = head.dataset.by;
  if (report) drawTunnels();
});

const SIDES = ["client", "upstream", "proxy"];
const HOWS = ["done", "fin", "rst", "timeout", "no_pong", "drain", "limit", "protocol"];
const isGood = (side, how) => how === "done" || how === "drain" || (side === "client" && how === "fin");
const cells = {};
for (const side of SIDES) {
  const row = make("tr");
  const name = make("th", "", side);
  name.scope = "row";
  row.append(name);
  for (const how of HOWS) row.append((cells[side + " " + how] = make("td", "zero", "0")));
  $("endings").tBodies[0].append(row);
}
function drawEndings() {
  for (const [ending, cell] of Object.entries(cells)) {
    const text = count(report.totals.endings[ending] ?? 0);
    if (cell.textContent === text) continue;
    const bad = !isGood(...ending.split(" "));
    cell.className = text === "0" ? "zero" : bad ? "badcell" : "";
    // Not what was there when the page was opened.
    if (drawn && bad) { void cell.offsetWidth; cell.classList.add("new"); }
    cell.textContent = text;
  }
}

let latest = "";
function drawBadly() {
  const list = report.endedBadly;
  $("no-badly").hidden = list.length > 0;
  $("badly").hidden = list.length === 0;
  const key = list.map((one) => one.id).join();
  if (key === latest) return;
  const known = new Set(latest.split(","));
  const body = $("badly").tBodies[0];
  body.replaceChildren(...list.map((one) => {
    const row = make("tr", drawn && !known.has(one.id) ? "new" : "");
    const status = one.status === 0 ? "none" : one.status + (one.error ? " " + one.error : "");
    const path = make("td", "l path", one.method + " " + one.path);
    path.title = one.path;
    row.append(make("td", "", clock(one.at)), make("td", "l", one.route || "–"), path, make("td", "l", one.by), make("td", "l", one.how), make("td", "l wide", one.phase), make("td", "", age(one.ms)), make("td", "l", status), make("td", "l wide", one.id));
    return row;
  }));
  latest = key;
}
`;
