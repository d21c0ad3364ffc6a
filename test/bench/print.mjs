// Figures to text: a table for each item on the terminal, and one of ratios for the README.

import { cpus, release } from "node:os";
import { median, quantile } from "./measure.mjs";

/** @typedef {import("./work.mjs").Work} Work */
/** @typedef {import("./rounds.mjs").Results} Results */

const SELF = "single-port";

/** @param {number} value */
function short(value) {
  if (!Number.isFinite(value)) return "";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/**
 * Round by round: what one costs, divided by what the other costs in the same round.
 *
 * @param {Work} work
 * @param {Results} results
 * @param {string} left
 * @param {string} right
 * @param {boolean} [minus] the difference instead
 */
export function pairs({ ratio }, results, left, right, minus = false) {
  const others = results.get(right) ?? [];
  return (results.get(left) ?? []).flatMap((one, round) => {
    const other = others[round];
    if (!other) return [];
    return minus ? one[ratio] - other[ratio] : one[ratio] / other[ratio];
  });
}

/** The median, with the quarter of the rounds above and below it. @param {number[]} ratios */
function spread(ratios) {
  return `${short(median(ratios))}  ${short(quantile(ratios, 0.25))} to ${short(quantile(ratios, 0.75))}`;
}

/** Pads all cells of a column alike. @param {string[][]} rows */
function aligned(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** The table of one item. @param {Work} work @param {Results} results */
export function table(work, results) {
  const rows = [["", `us/${work.unit}`, "p50 ms", "p99 ms", "RSS MiB"]];
  if (work.ratio === "memory") rows[0]?.push("KiB each");
  if (work.ratio === "wall") rows[0]?.push("start ms");
  rows[0]?.push(`${SELF}: ratio, and its middle half`, "errors");
  const self = [...results.keys()].find((key) => key.startsWith(SELF)) ?? SELF;
  for (const [key, all] of results) {
    const of = (/** @type {keyof import("./rounds.mjs").Figures} */ name) => median(all.map((one) => one[name]));
    const row = [key, short(of("cpu")), short(of("p50")), short(of("p99")), short(of("rss") / 1024 ** 2)];
    if (work.ratio === "memory") row.push(short(of("memory") / 1024));
    if (work.ratio === "wall") row.push(short(of("wall")));
    const left = work.variants ? `${SELF} ${key.split(" ").at(-1)}` : self;
    row.push(key === left ? "" : spread(pairs(work, results, left, key)));
    row.push(String(all.reduce((sum, { errors }) => sum + errors, 0) || ""));
    rows.push(row);
  }
  return `${work.name}: ${work.text}\n${aligned(rows)}\n${targets(work, results)}`;
}

/** Which bounds hold. @param {Work} work @param {Results} results */
function targets(work, results) {
  let text = "";
  for (const { left = SELF, right, atMost, minus = false } of work.targets) {
    if (!results.has(right) || !results.has(left)) continue;
    const found = median(pairs(work, results, left, right, minus));
    const what = minus ? `${short(found)} ms above ${right}` : `${found.toFixed(3)} of ${right}`;
    const verdict = found <= atMost ? "met" : "NOT MET";
    text += `  ${verdict}: ${left} is at ${what}; at most ${atMost}${minus ? " ms" : ""}\n`;
  }
  return text;
}

/** What the ratio is of, in the README's words. */
const FIGURES = { cpu: "processor time", memory: "memory", p99: "99th percentile", wall: "time" };
/** A peer that carries fewer of the works than this has a sentence instead of a column. */
const COLUMN_FROM = 3;
/** The aim: no more than so many times what a pipe costs, which does nothing but pass bytes on. */
const OF_A_PIPE = 1.2;

/** Is that reached? @param {Work} work @param {Results} results */
function nearPipe(work, results) {
  if (!results.has("pipe")) return "";
  return median(pairs(work, results, SELF, "pipe")) <= OF_A_PIPE ? "yes" : "no";
}

/**
 * The section of the README, below its heading: single-port's cost divided by each peer's, below 1 where it is cheaper.
 * Ratios only: they hold on other machines, times do not.
 *
 * @param {{ work: Work, results: Results }[]} done
 * @param {Map<string, string>} versions
 * @param {string[]} argv
 */
export function markdown(done, versions, argv) {
  const compared = done.filter(({ work }) => !work.variants);
  const all = [...new Set(compared.flatMap(({ results }) => [...results.keys()]))].filter((one) => one !== SELF);
  const worksOf = (/** @type {string} */ peer) => compared.filter(({ results }) => results.has(peer));
  const peers = all.filter((peer) => worksOf(peer).length >= Math.min(COLUMN_FROM, compared.length));
  const cell = (/** @type {Work} */ work, /** @type {Results} */ results, /** @type {string} */ peer) =>
    results.has(peer) ? short(median(pairs(work, results, SELF, peer))) : "";
  const lines = [
    "What single-port costs, divided by what each of the others costs for the same (below 1: single-port is cheaper).",
    "Each figure is the median of the ratios of rounds that were run in turns.",
    "",
    `| | ${peers.join(" | ")} | within ${OF_A_PIPE} of the pipe |`,
    `| --- |${" --- |".repeat(peers.length + 1)}`,
  ];
  for (const { work, results } of compared) {
    const cells = peers.map((peer) => cell(work, results, peer));
    cells.push(nearPipe(work, results));
    if (cells.some((one) => one !== "")) lines.push(`| ${work.text}: ${FIGURES[work.ratio]} | ${cells.join(" | ")} |`);
  }
  lines.push("");
  for (const peer of all.filter((one) => !peers.includes(one))) {
    for (const { work, results } of worksOf(peer)) {
      lines.push(`- ${work.text}, ${FIGURES[work.ratio]}: ${cell(work, results, peer)} of \`${peer}\`.`);
    }
  }
  for (const { work, results } of done.filter(({ work }) => work.variants)) lines.push(growth(work, results));
  const here = all.map((peer) => `${peer} ${versions.get(peer) ?? ""}`.trim()).filter((text) => text.includes(" "));
  const known = here.filter((text) => !text.startsWith("pipe ") && !text.startsWith("node "));
  lines.push("", `On ${machine()}, against ${known.join(", ")}; the pipe is \`node:net\` and nothing else.`);
  lines.push(`To repeat it: \`npm run bench -- ${argv.join(" ")}\`.`);
  return lines.join("\n");
}

/**
 * How much more a unit costs with more connections, for each peer that was measured.
 *
 * @param {Work} work
 * @param {Results} results
 */
function growth(work, results) {
  const [few = "", many = ""] = Object.keys(work.variants ?? {});
  const peers = work.peers.filter((peer) => results.has(`${peer} ${few}`));
  const grown = peers.map((peer) => {
    const found = median(pairs(work, results, `${peer} ${many}`, `${peer} ${few}`));
    return `${short(found)} times as much with ${peer}`;
  });
  return `- ${work.text}: on the larger number ${/^[aeiou]/.test(work.unit) ? "an" : "a"} ${work.unit} costs ${grown.join(", ")}.`;
}

/** What it ran on. */
export function machine() {
  const all = cpus();
  return `Node ${process.version}, Linux ${release().split("-")[0]}, ${all.length} x ${all[0]?.model.trim()}`;
}
