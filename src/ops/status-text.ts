// Formats the report as tables for a terminal of 80 columns or more. Called by status.ts; pure.

import { printable } from "./log-words.ts";
import { age, bars, bytes, fit, rtt } from "./figures.ts";
import { reasonOf } from "./readiness.ts";
import type { EndedBadly, LinkReport, Report, Second, TunnelReport } from "./report.ts";

/** Size and colours of the terminal. */
export interface Look {
  columns: number;
  /** Available lines; undefined for no limit. */
  rows: number | undefined;
  color: boolean;
}

type Paint = (text: string) => string;

/** Colours. They repeat what the words say, so nothing is lost without them. */
interface Palette {
  good: Paint;
  warn: Paint;
  bad: Paint;
  dim: Paint;
  strong: Paint;
}

function palette(color: boolean): Palette {
  const paint =
    (code: number): Paint =>
    (text) =>
      color ? `\x1b[${code}m${text}\x1b[0m` : text;
  return { good: paint(32), warn: paint(33), bad: paint(31), dim: paint(2), strong: paint(1) };
}

const MAX_TUNNELS = 50;
const MAX_IN_FLIGHT = 3;
/** A terminal with fewer rows shows no details. */
const ROWS_FOR_DETAILS = 30;

function hasDetails({ rows }: Look): boolean {
  return rows === undefined || rows >= ROWS_FOR_DETAILS;
}

/** Defaults for fields that an older version of single-port does not report. */
const UNSAID = { inFlight: [], process: { residentBytes: 0, heapUsedBytes: 0 } };

/** The lines of the table. */
export function statusLines(said: Report, seconds: readonly Second[], look: Look): string[] {
  const report = { ...UNSAID, ...said };
  const paint = palette(look.color);
  const above = [...titleLines(report, paint, look), "", ...rateLines(report, seconds, paint, look)];
  above.push("", ...linkLines(report, paint, look), ...inFlightLines(report, paint, look));
  const endings = ["", ...endingLines(report, look)];
  const room = look.rows === undefined ? Infinity : look.rows - above.length - endings.length;
  // A third of the remaining lines is for exchanges that ended badly. Three lines are the tunnels' head and "older
  // ones".
  const latest = badlyLines(report, paint, look, Math.min(2 * MAX_BADLY, Math.floor((room - 3) / 3)));
  const tunnels = Math.min(MAX_TUNNELS, Math.max(0, room - latest.length - 3));
  const lines = [...above, ...tunnelLines(report, paint, look, tunnels), ...endings, ...latest];
  return look.rows === undefined ? lines : lines.slice(0, look.rows);
}

function titleLines(report: Report, paint: Palette, look: Look): string[] {
  const title = `single-port ${report.version} on ${report.listening}`;
  const facts = [report.state, `up ${age(report.uptimeSeconds * 1000)}`, `pid ${report.pid}`, `node ${report.node}`];
  while (title.length + 2 + facts.join(" · ").length > look.columns && facts.length > 1) facts.pop();
  const gap = Math.max(2, look.columns - title.length - facts.join(" · ").length);
  const [state = "", ...others] = facts;
  const painted = report.state === "running" ? paint.good(state) : paint.warn(state);
  const rest = others.map((fact) => ` · ${fact}`).join("");
  const first = `${paint.strong(title)}${" ".repeat(gap)}${painted}${paint.dim(rest)}`;
  return hasDetails(look) ? [first, paint.dim(fit(processOf(report), look.columns).trimEnd())] : [first];
}

function processOf({ process, lastSecond, connections }: Report): string {
  const parts = [`${connections} connections`];
  if (lastSecond) parts.push(`processor ${(lastSecond.cpuMs / 10).toFixed(1)} % of a core`);
  parts.push(`memory ${bytes(process.residentBytes)}`);
  const { descriptors, maxDescriptors } = process;
  if (descriptors !== undefined) parts.push(`${descriptors} of ${maxDescriptors ?? "?"} descriptors`);
  return parts.join(" · ");
}

/** The number of all open tunnels: a report of /events lists the latest only. */
function openTunnels({ links }: Report): number {
  return links.reduce((sum, { tunnels }) => sum + tunnels, 0);
}

function rateLines(report: Report, seconds: readonly Second[], paint: Palette, look: Look): string[] {
  const last = seconds.at(-1) ?? report.lastSecond;
  const { totals } = report;
  const open = openTunnels(report);
  const rows: [string, string, (second: Second) => number][] = [
    ["requests/s", String(last?.requests ?? 0), (second) => second.requests],
    ["ended badly/s", String(last?.failed ?? 0), (second) => second.failed],
    ["tunnel bytes/s", bytes(last?.tunnelBytes ?? 0), (second) => second.tunnelBytes],
  ];
  const beside = [
    `${report.requests} in flight, ${report.held} held`,
    `${totals.failed} of ${totals.requests} since the start`,
    `${open} open, ${totals.tunnels} since the start`,
  ];
  const width = Math.max(8, Math.min(60, look.columns - 57));
  return rows.map(([name, value, of], index) => {
    const chart = bars(seconds.map(of), width);
    const shown = name.startsWith("ended") && value !== "0" ? paint.bad(value.padStart(8)) : value.padStart(8);
    return `${name.padEnd(14)} ${shown}  ${paint.dim("│")}${chart}${paint.dim("│")}  ${paint.dim(beside[index] ?? "")}`.trimEnd();
  });
}

const STATES: Record<LinkReport["state"], keyof Palette> = {
  connecting: "warn",
  up: "good",
  suspect: "warn",
  reconnecting: "bad",
};

/** A request that has waited longer than this, in milliseconds, gets a line. */
const LONG_WAIT_MS = 10_000;

function linkLines(report: Report, paint: Palette, look: Look): string[] {
  const target = Math.max(12, look.columns - 64);
  const lines = [
    paint.dim(
      `${"UPSTREAM".padEnd(9)}${"STATE".padEnd(14)}${"SINCE".padEnd(9)}${"TRIES".padStart(5)}  ${"LAST PROBE".padEnd(19)}${"HELD".padStart(4)}  TARGET`,
    ),
  ];
  // The time of the report, by the same clock as its dates.
  const now = Date.parse(report.at);
  for (const link of report.links) {
    // In state suspect connectedSince is still set, but the state began later.
    const up = link.state === "up" ? link.connectedSince : undefined;
    const since = up ?? link.history.at(-1)?.at ?? report.startedAt;
    const cells = [
      fit(link.name, 8),
      " ",
      paint[STATES[link.state]](fit(link.state, 13)),
      " ",
      fit(age(now - Date.parse(since)), 8),
      String(link.reconnectTries).padStart(6),
      "  ",
      fit(probeOf(link, now), 18),
      String(link.held).padStart(5),
      "  ",
      fit(printable(link.target), target).trimEnd(),
    ];
    lines.push(cells.join(""));
    const why = link.state === "up" ? undefined : reasonOf(link);
    if (why !== undefined) lines.push(paint[STATES[link.state]](`         ${fit(why, look.columns - 9).trimEnd()}`));
    const { oldestWait } = link;
    if (oldestWait && oldestWait.ms >= LONG_WAIT_MS) {
      const waits = `a request has waited ${age(oldestWait.ms)}: ${oldestWait.method} ${printable(oldestWait.path)}`;
      lines.push(paint.warn(`         ${fit(waits, look.columns - 9).trimEnd()}`));
    }
    const more = hasDetails(look) ? detailsOf(link) : "";
    if (more !== "") lines.push(paint.dim(`         ${fit(more, look.columns - 9).trimEnd()}`));
  }
  return lines;
}

/** `p50 25ms, p95 60ms, p99 200ms of 207; heard 78ms ago; outages 2` */
function detailsOf({ latencyMs, lastHeardAgeMs, reconnectCount }: LinkReport): string {
  const parts: string[] = [];
  if (latencyMs) {
    const { count, p50, p95, p99 } = latencyMs;
    const times = [p50, p95, p99].map((ms) => (ms === undefined ? "over 2m" : rtt(ms)));
    parts.push(`p50 ${times[0]}, p95 ${times[1]}, p99 ${times[2]} of ${count}`);
  }
  if (lastHeardAgeMs !== undefined) parts.push(`heard ${age(lastHeardAgeMs)} ago`);
  if (reconnectCount > 0) parts.push(`outages ${reconnectCount}`);
  return parts.join("; ");
}

/** The oldest requests in flight: the first thing to look at when a page does not load. */
function inFlightLines({ inFlight, requests }: Report, paint: Palette, look: Look): string[] {
  if (inFlight.length === 0 || !hasDetails(look)) return [];
  const shown = inFlight
    .slice(0, MAX_IN_FLIGHT)
    .map(({ ageMs, route, method, path, phase, held, attempts, from, id }) => {
      const how = held ? `held, ${attempts} tries` : phase;
      const behind = `  ${how}${from === "" ? "" : `, for ${from}`}  ${id}`;
      const what = `${fit(age(ageMs), 8)} ${route} ${method} ${printable(path)}`;
      return `${fit(what, Math.max(24, look.columns - behind.length)).trimEnd()}${printable(behind)}`;
    });
  const more = requests > shown.length ? `, ${requests - shown.length} more` : "";
  return ["", paint.dim(`OLDEST IN FLIGHT${more}`), ...shown.map((line) => fit(line, look.columns).trimEnd())];
}

function probeOf(link: LinkReport, now: number): string {
  if (link.lastProbeAt === undefined) return "none yet";
  const good = link.lastProbeKind === "connect" ? "connects" : "ok";
  return `${link.lastProbeOk ? good : "failed"} ${age(now - Date.parse(link.lastProbeAt))} ago`;
}

function tunnelLines(report: Report, paint: Palette, look: Look, room: number): string[] {
  const { tunnels } = report;
  const open = openTunnels(report);
  if (open === 0) return ["", paint.dim("no tunnel is open")];
  const path = Math.max(8, look.columns - 70);
  const head = `${"TUNNEL".padEnd(11)}${"AGE".padEnd(9)}${"IN".padStart(8)}${"OUT".padStart(9)}${"SILENT cli/ups".padStart(16)}${"RTT cli/ups".padStart(15)}  PATH`;
  const shown = tunnels.slice(Math.max(0, tunnels.length - room)).toReversed();
  const lines = ["", paint.dim(head), ...shown.map((tunnel) => tunnelLine(tunnel, path))];
  if (shown.length < open) lines.push(paint.dim(`and ${open - shown.length} older ones`));
  return lines;
}

function tunnelLine({ id, ageMs, client, upstream, path }: TunnelReport, width: number): string {
  return [
    fit(id, 10),
    " ",
    fit(age(ageMs), 8),
    bytes(client.bytes).padStart(9),
    bytes(upstream.bytes).padStart(9),
    `${age(client.lastByteAgeMs)} / ${age(upstream.lastByteAgeMs)}`.padStart(16),
    `${rtt(client.rttMs)} / ${rtt(upstream.rttMs)}`.padStart(15),
    "  ",
    fit(printable(path), width).trimEnd(),
  ].join("");
}

const SIDES = ["client", "upstream", "proxy"] as const;

function endingLines({ totals }: Report, look: Look): string[] {
  return SIDES.map((side) => {
    const kinds = Object.entries(totals.endings)
      .filter(([ending]) => ending.startsWith(`${side} `))
      .sort((a, b) => b[1] - a[1])
      .map(([ending, count]) => `${ending.slice(side.length + 1)} ${count}`);
    return `ended by ${side.padEnd(9)} ${fit(kinds.join(", ") || "-", look.columns - 19).trimEnd()}`;
  });
}

const MAX_BADLY = 5;

/** @param most available lines; each exchange takes two. */
function badlyLines({ endedBadly }: Report, paint: Palette, look: Look, most: number): string[] {
  const latest = endedBadly.slice(0, Math.max(0, Math.floor(most / 2)));
  if (latest.length === 0) return [];
  const lines = latest.flatMap((one) => badly(one, look.columns));
  return [paint.dim("ENDED BADLY, LATEST FIRST"), ...lines];
}

/** Two lines for an exchange: the request, and below it what happened. */
function badly(one: EndedBadly, width: number): string[] {
  const time = new Date(one.at).toTimeString().slice(0, 8);
  const answer = one.status === 0 ? "no answer" : String(one.status);
  const asked = one.method === "" ? "a connection" : `${one.method} ${printable(one.path)}`;
  const behind = `${one.from ? `  ${printable(one.from)}` : ""}  ${one.id}`;
  const head = fit(`${time} ${answer} ${one.route || "-"} ${asked}`, Math.max(24, width - behind.length));
  const code = one.code === undefined ? "" : ` (${one.code})`;
  return [`${head.trimEnd()}${behind}`, `         ${fit(`${printable(one.what)}${code}`, width - 9).trimEnd()}`];
}
