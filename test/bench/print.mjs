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

/**
 * The table of the README: single-port's cost divided by each peer's, below 1 where it is cheaper.
 *
 * @param {{ work: Work, results: Results }[]} done
 * @param {Map<string, string>} versions
 * @param {string[]} argv
 */
export function markdown(done, versions, argv) {
  const compared = done.filter(({ work }) => !work.variants);
  const peers = [...new Set(compared.flatMap(({ results }) => [...results.keys()]))].filter((one) => one !== SELF);
  const lines = [`| work | ${peers.join(" | ")} |`, `| --- |${" --- |".repeat(peers.length)}`];
  for (const { work, results } of compared) {
    const cells = peers.map((peer) => {
      const ratios = pairs(work, results, SELF, peer);
      return ratios.length === 0 ? "" : short(median(ratios));
    });
    lines.push(
      `| ${work.text} (${{ cpu: "CPU", memory: "memory", p99: "p99", wall: "time" }[work.ratio]}) | ${cells.join(" | ")} |`,
    );
  }
  const growth = done.filter(({ work }) => work.variants);
  for (const { work, results } of growth) {
    const [few = "", many = ""] = Object.keys(work.variants ?? {});
    const found = median(pairs(work, results, `${SELF} ${many}`, `${SELF} ${few}`));
    lines.push("", `${work.text}: a ${work.unit} costs ${short(found)} times as much on the larger number.`);
  }
  const here = [...versions].map(([name, version]) => (name === "pipe" ? "" : `${name} ${version}`)).filter(Boolean);
  lines.push("", `${machine()}. ${here.join(", ")}. Repeat: \`npm run bench -- ${argv.join(" ")}\`.`);
  return lines.join("\n");
}

/** What it ran on. */
export function machine() {
  const all = cpus();
  return `Node ${process.version}, Linux ${release().split("-")[0]}, ${all.length} x ${all[0]?.model.trim()}`;
}
