// The browser code of the live page, as a string: follows /events and writes text into elements, never markup.
// Used by page.ts.

import { PAGE_WORDS } from "../core/page-words.ts";
import { TABLES } from "./page-tables.ts";

/** The script. */
export const SCRIPT: string = String.raw`
"use strict";
const $ = (id) => document.getElementById(id);
const KEPT = 300;
let seconds = [], report, paused = false, lostAt = 0, heardAt = 0, source;

// -- words and figures ---------------------------------------------------------------------------------------------
${PAGE_WORDS}const bytes = (n) => {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 999.5) return (unit === "B" || n >= 99.5 ? Math.round(n) : n.toFixed(1)) + " " + unit;
    n /= 1000;
  }
  return n.toFixed(1) + " TB";
};
const count = (n) => n.toLocaleString("en");
const rtt = (ms) => (ms === undefined ? "–" : ms < 10 ? ms.toFixed(1) + " ms" : age(ms));
// The proxy's clock, not the browser's, which may be on another machine.
const serverNow = () => Date.parse(report.at);

/** Writes a text only where it changed: a selection stays, and a screen reader is not interrupted. */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// -- charts --------------------------------------------------------------------------------------------------------
const charts = [
  ["requests", (s) => s.requests, count],
  ["failed", (s) => s.failed, count],
  ["tunnels", (s) => s.tunnels, count],
  ["tunnelBytes", (s) => s.tunnelBytes, bytes],
].map(([id, of, show]) => {
  const tile = $("chart-" + id);
  const chart = { id, of, show, tile, name: tile.querySelector(".name").textContent, at: undefined };
  const [area, curve, cursor] = ["area", "curve", "cursor"].map((name) => tile.querySelector("." + name));
  Object.assign(chart, { area, curve, cursor, value: tile.querySelector(".value"), read: tile.querySelector(".read") });
  const svg = tile.querySelector("svg");
  const move = (at) => { chart.at = at; drawChart(chart); };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    move(Math.round(((event.clientX - box.left) / box.width) * (slots() - 1)));
  });
  svg.addEventListener("pointerleave", () => move(undefined));
  tile.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -KEPT, End: KEPT }[event.key];
    if (event.key === "Escape") move(undefined);
    if (step === undefined) return;
    event.preventDefault();
    move(Math.min(slots() - 1, Math.max(slots() - seconds.length, (chart.at ?? slots() - 1) + step)));
  });
  tile.addEventListener("blur", () => move(undefined));
  return chart;
});

/** How many seconds a chart shows: at least one minute, and up to five when there are more. */
const slots = () => Math.max(60, seconds.length);
const WIDTH = 300;

function drawChart(chart) {
  const values = seconds.map(chart.of), first = slots() - values.length, top = Math.max(1, ...values);
  const x = (slot) => ((slot / (slots() - 1)) * WIDTH).toFixed(1);
  const points = values.map((value, i) => x(first + i) + "," + (58 - (value / top) * 54).toFixed(1));
  chart.curve.setAttribute("points", points.join(" "));
  chart.area.setAttribute("points", points.length ? x(first) + ",58 " + points.join(" ") + " " + WIDTH + ",58" : "");
  const now = values.at(-1) ?? 0;
  set(chart.value, lostAt ? "unknown" : chart.show(now));
  chart.tile.classList.toggle("hot", !lostAt && now > 0);
  const at = chart.at === undefined ? undefined : chart.at - first;
  chart.cursor.setAttribute("visibility", at === undefined || !seconds[at] ? "hidden" : "visible");
  if (at !== undefined && seconds[at]) {
    chart.cursor.setAttribute("x1", x(chart.at));
    chart.cursor.setAttribute("x2", x(chart.at));
    set(chart.read, clock(seconds[at].at) + ": " + chart.show(values[at]));
  } else set(chart.read, "at most " + chart.show(Math.max(0, ...values)) + " in " + age(values.length * 1000));
  chart.tile.setAttribute("aria-label", chart.name + ": " + chart.value.textContent + ", " + chart.read.textContent);
}

// -- links ---------------------------------------------------------------------------------------------------------
const STATES = { connecting: "◌ not reached yet", up: "● up", suspect: "▲ suspect", reconnecting: "✕ reconnecting" };
const STRIP_MS = 15 * 60_000;
const links = new Map();

function linkCard(link) {
  const card = make("article", "card link");
  const top = make("div", "top"), strip = make("div", "strip"), list = make("dl"), details = make("details");
  const parts = { card, strip, cells: {}, pill: make("span", "pill"), why: make("p", "why"), from: make("span"), summary: make("summary"), log: make("ol") };
  top.append(make("h3", "", link.name), parts.pill, make("span", "target", link.target));
  const ends = make("div", "ends");
  ends.append(parts.from, make("span", "", "now"));
  strip.setAttribute("role", "img");
  for (const name of ["In this state for", "Outages survived", "Tries to reconnect", "Last probe", "Last heard", "Last pong", "p50, p95, p99", "Open tunnels", "Requests held"]) {
    parts.cells[name] = make("dd");
    list.append(make("dt", "", name), parts.cells[name]);
  }
  details.append(parts.summary, parts.log);
  card.append(top, parts.why, strip, ends, list, details);
  $("links").append(card);
  return parts;
}

function latencyOf(latency) {
  if (!latency) return "no request yet";
  return [latency.p50, latency.p95, latency.p99].map((ms) => (ms === undefined ? "> 120 s" : rtt(ms))).join(", ");
}
function forgetLinks() {
  for (const { card, pill, why, cells } of links.values()) {
    card.className = "card link unknown";
    set(pill, "? unknown");
    set(why, "");
    for (const cell of Object.values(cells)) set(cell, "unknown");
  }
}

/** After a restart another proxy may answer, with other upstreams: drops links that are gone. */
const keyOf = (link) => link.name + " " + link.target;
function dropLinks() {
  const keys = new Set(report.links.map(keyOf));
  for (const [key, { card }] of links) if (!keys.has(key)) { card.remove(); links.delete(key); }
}

function drawLink(link) {
  const key = keyOf(link);
  if (!links.has(key)) links.set(key, linkCard(link));
  const parts = links.get(key), now = serverNow(), last = link.history.at(-1);
  parts.card.className = "card link " + link.state;
  set(parts.pill, STATES[link.state]);
  const reason = report.ready.reasons.find((text) => text.startsWith("upstream " + link.name + " "));
  set(parts.why, link.state === "up" || !reason ? "" : reason.slice(reason.indexOf(")") + 2));
  const facts = {
    // In state suspect connectedSince is still set, but the state began later.
    "In this state for": age(now - Date.parse((link.state === "up" && link.connectedSince) || (last?.at ?? report.startedAt))),
    "Outages survived": count(link.reconnectCount),
    "Tries to reconnect": count(link.reconnectTries),
    "Last probe": link.lastProbeAt ? (link.lastProbeOk ? (link.lastProbeKind === "connect" ? "connects, " : "ok, ") : "failed, ") + age(now - Date.parse(link.lastProbeAt)) + " ago" : "none yet",
    "Last heard": link.lastHeardAgeMs === undefined ? "never" : age(link.lastHeardAgeMs) + " ago",
    "Last pong": link.lastPongAgeMs === undefined ? "–" : age(link.lastPongAgeMs) + " ago",
    "p50, p95, p99": latencyOf(link.latencyMs),
    "Open tunnels": count(link.tunnels),
    "Requests held": count(link.held),
  };
  for (const [name, text] of Object.entries(facts)) set(parts.cells[name], text);
  drawStrip(parts, link, now);
  set(parts.summary, "History: " + link.history.length + (link.history.length === 1 ? " change" : " changes"));
  const entries = link.history.map((one) => clock(one.at) + "  " + one.state + (one.reason ? " (" + one.reason + ")" : ""));
  if (parts.entries !== entries.join()) {
    parts.entries = entries.join();
    parts.log.replaceChildren(...entries.reverse().map((text) => make("li", "", text)));
  }
}

/** The states of the last quarter of an hour, to scale. */
function drawStrip({ strip, from }, link, now) {
  const began = Math.max(now - STRIP_MS, Date.parse(report.startedAt));
  // Only the latest 50 changes are kept: with more, the state before the first one is not known.
  const before = link.history.length < 50 ? "connecting" : "none";
  const changes = [{ at: report.startedAt, state: before }, ...link.history];
  const spans = changes.map(({ at, state }, i) => ({ state, from: Math.max(began, Date.parse(at)), to: Math.min(now, changes[i + 1] ? Date.parse(changes[i + 1].at) : now) })).filter(({ from, to }) => to > from);
  const total = Math.max(1, now - began);
  while (strip.children.length > spans.length) strip.lastChild.remove();
  while (strip.children.length < spans.length) strip.append(make("i"));
  spans.forEach(({ state, from, to }, i) => {
    strip.children[i].className = state;
    strip.children[i].style.width = ((to - from) / total) * 100 + "%";
  });
  const lasted = (states) => spans.filter(({ state }) => states.includes(state)).reduce((sum, { from, to }) => sum + to - from, 0);
  const down = lasted(["reconnecting", "suspect"]), up = lasted(["up"]);
  const text = up + down === 0 ? "not seen" : Math.floor((up / (up + down)) * 1000) / 10 + " % up";
  strip.setAttribute("aria-label", text + " in the last " + age(total));
  set(from, age(total) + " ago · " + text);
}

${TABLES}
// -- all of it -----------------------------------------------------------------------------------------------------
let drawn = false, overall = "";
function drawOverall() {
  const lost = lostAt > 0;
  document.body.classList.toggle("lost", lost);
  const reasons = report ? report.ready.reasons : [];
  const kind = lost ? "bad" : !report ? "" : report.ready.ready ? "good" : report.state !== "running" || report.links.some((link) => link.state === "reconnecting") ? "bad" : "";
  const texts = lost ? ["The connection to this proxy is lost: what it does now is unknown. Trying to get it back."] : !report ? ["Connecting…"] : reasons.length ? reasons.map((text) => "Not ready: " + text) : ["Everything is up"];
  if (lost) forget();
  set($("since"), lost && report ? "Lost " + age(Date.now() - lostAt) + " ago." : "");
  if (overall === kind + texts.join()) return;
  overall = kind + texts.join();
  $("overall").className = kind;
  $("reasons").replaceChildren(...texts.map((text) => make("li", "", text)));
  const mark = lost ? "✕ lost" : kind === "good" ? "● up" : kind === "bad" ? "✕ not ready" : "▲ not ready";
  document.title = mark + " · single-port" + (report ? " " + report.listening : "");
  const color = kind === "good" ? "%230a8f50" : kind === "bad" ? "%23d0342c" : "%23c98a1b";
  $("icon").href = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='" + color + "'/></svg>";
}

function processOf({ process, lastSecond }) {
  const parts = [];
  if (lastSecond) parts.push("processor " + (lastSecond.cpuMs / 10).toFixed(1) + " % of one core");
  parts.push("memory " + bytes(process.residentBytes) + " (heap " + bytes(process.heapUsedBytes) + ")");
  if (process.descriptors !== undefined) parts.push(count(process.descriptors) + (process.maxDescriptors ? " of " + count(process.maxDescriptors) : "") + " descriptors");
  return "This process: " + parts.join(" · ") + ".";
}

/** Shows "unknown" for all current values while the connection to the proxy is lost. Past endings stay. */
function forget() {
  if (!report) return;
  set($("facts"), "unknown; it was pid " + report.pid);
  set($("sums"), "Now: unknown.");
  set($("process"), "Processor, memory, descriptors: unknown.");
  charts.forEach(drawChart);
  forgetLinks();
  forgetTables();
}

function draw() {
  drawOverall();
  if (!report || paused || lostAt) return;
  set($("where"), report.listening);
  set($("facts"), report.state + " · up " + age(report.uptimeSeconds * 1000) + " · pid " + report.pid + " · version " + report.version + " · node " + report.node);
  const { totals } = report;
  const sums = [[report.connections, "connections"], [report.requests, "in flight"], [report.held, "held"]];
  const total = [[totals.requests, "requests"], [totals.tunnels, "tunnels"], [totals.retries, "retries"], [totals.failed, "ended badly"]];
  if (totals.uncaught) total.push([totals.uncaught, "uncaught errors: a bug, please report it"]);
  const say = (list) => list.map(([n, what]) => count(n) + " " + what).join(" · ");
  set($("sums"), "Now: " + say(sums) + ". Since the start: " + say(total) + ".");
  set($("process"), processOf(report));
  charts.forEach(drawChart);
  dropLinks();
  report.links.forEach(drawLink);
  drawFlight(); drawTunnels(); drawEndings(); drawBadly(); drawRoutes();
  drawn = true;
}

function connect() {
  source?.close();
  heardAt = Date.now();
  source = new EventSource("events");
  source.addEventListener("seconds", (event) => { seconds = JSON.parse(event.data).slice(-KEPT); });
  source.onmessage = (event) => {
    report = JSON.parse(event.data);
    mergeBadly(report.endedBadly);
    heardAt = Date.now();
    lostAt = 0;
    if (report.lastSecond && report.lastSecond.at !== seconds.at(-1)?.at) seconds.push(report.lastSecond);
    if (seconds.length > KEPT) seconds.shift();
    draw();
  };
  source.onerror = () => { source.close(); lost(); };
}
function lost() {
  lostAt ||= Date.now();
  drawOverall();
}
// A report comes each second: after 3 s of silence the connection counts as lost.
setInterval(() => {
  if (Date.now() - heardAt > 3000) lost();
  if (lostAt > 0) { drawOverall(); if (source.readyState === 2 || Date.now() - heardAt > 3000) connect(); }
}, 1000);
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  set($("pause"), paused ? "Paused" : "Pause");
  draw();
});
connect();
drawOverall();
`;
