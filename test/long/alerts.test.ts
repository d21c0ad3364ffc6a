// The README's alert rules, loaded by Prometheus: they fire when they should, and only then.

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { metricsTable } from "../../src/ops/metrics-table.ts";
import { tempFolder } from "../kit/child.ts";
import { readmeBlock } from "../kit/readme.ts";

const noPromtool = spawnSync("promtool", ["--version"]).status !== 0;

/** Runs promtool on the rules; throws what it said if it is not content. */
function promtool(verb: "check" | "test", tests = ""): string {
  const folder = tempFolder();
  writeFileSync(join(folder, "rules.yml"), readmeBlock("yaml", "- alert: "));
  writeFileSync(join(folder, "tests.yml"), `rule_files: [rules.yml]\nevaluation_interval: 30s\ntests:\n${tests}`);
  const args = [verb, "rules", join(folder, verb === "check" ? "rules.yml" : "tests.yml")];
  const { status, stdout, stderr } = spawnSync("promtool", args, { encoding: "utf8", cwd: folder });
  if (status !== 0) throw new Error(`${stdout}${stderr}`);
  return stdout;
}

/** A test for promtool: which alerts speak at this time, of these series. */
function speaks(
  at: string,
  alert: string,
  labels: string | undefined,
  ...series: [name: string, values: string][]
): string {
  const input = series.map(([name, values]) => `      - { series: '${name}', values: '${values}' }`).join("\n");
  const rule = `  - interval: 30s\n    input_series:\n${input}\n`;
  const query = `ALERTS{alertname="${alert}", alertstate="firing"}`;
  const samples =
    labels === undefined
      ? "[]"
      : `[{ labels: 'ALERTS{alertname="${alert}", alertstate="firing", ${labels}}', value: 1 }]`;
  return `${rule}    promql_expr_test:\n      - { expr: '${query}', eval_time: ${at}, exp_samples: ${samples} }\n`;
}

test("the rules ask for metrics that there are, with labels that they have", () => {
  const table = metricsTable();
  const rules = readmeBlock("yaml", "- alert: ");
  const names = new Set([...rules.matchAll(/single_port_\w+/g)].map(([name]) => name.replace(/_bucket$/, "")));
  expect(names.size).toBeGreaterThan(4);
  for (const name of names) {
    const row = table.split("\n").find((line) => line.startsWith(`| \`${name}\` `));
    expect(row, name).toBeDefined();
    const labels = [...rules.matchAll(new RegExp(`${name}\\{(\\w+)`, "g"))].map(([, label]) => label);
    for (const label of labels) expect(row).toContain(`\`${label}\``);
  }
});

describe.skipIf(noPromtool)("with promtool (skipped without Debian's prometheus)", () => {
  test("it finds nothing wrong with them", () => {
    expect(promtool("check")).toMatch(/SUCCESS: 7 rules found/);
  });

  test("an upstream that is down for three minutes is told, one that restarts is not", () => {
    const up = 'single_port_upstream_up{upstream="http"}';
    promtool(
      "test",
      speaks("5m", "SinglePortUpstreamDown", 'severity="critical", upstream="http"', [up, "1 1 0x20"]) +
        speaks("5m", "SinglePortUpstreamDown", undefined, [up, "1 1 0 0 1x20"]),
    );
  });

  test("5xx above one in twenty, waiting requests, an upstream that flaps, a proxy that is gone, a bug: each is told", () => {
    const ok = 'single_port_requests_total{instance="a",route="http",status="200"}';
    const bad = 'single_port_requests_total{instance="a",route="http",status="502"}';
    promtool(
      "test",
      [
        speaks(
          "15m",
          "SinglePortAnswers5xx",
          'instance="a", route="http", severity="warning"',
          [ok, "0+90x40"],
          [bad, "0+10x40"],
        ),
        speaks("15m", "SinglePortAnswers5xx", undefined, [ok, "0+990x40"], [bad, "0+10x40"]),
        speaks("5m", "SinglePortHolds", 'severity="warning"', ["single_port_held_requests", "200x20"]),
        speaks("20m", "SinglePortUpstreamFlaps", 'severity="warning", upstream="mux"', [
          'single_port_upstream_reconnects_total{upstream="mux"}',
          "0 1 2 3 4 5x60",
        ]),
        speaks("3m", "SinglePortGone", 'job="single-port", severity="critical"', ['up{job="single-port"}', "0x20"]),
        speaks("10m", "SinglePortBug", 'severity="warning"', ["single_port_uncaught_total", "0 0 1x40"]),
        speaks(
          "30m",
          "SinglePortSlow",
          'instance="a", route="http", severity="warning"',
          ['single_port_request_duration_seconds_bucket{instance="a",route="http",le="10"}', "0+50x80"],
          ['single_port_request_duration_seconds_bucket{instance="a",route="http",le="30"}', "0+100x80"],
          ['single_port_request_duration_seconds_bucket{instance="a",route="http",le="+Inf"}', "0+100x80"],
        ),
      ].join(""),
    );
  });
});
