// Makes the README's tables of metrics and labels from the metrics themselves. Called by `npm run docs`.

import { Metrics } from "./metrics.ts";
import type { Report } from "./report.ts";

/** What the values of each label are. */
const LABELS: Record<string, string> = {
  route: "the upstream: `http`, `mux`, `mux2` ...; `none` where a request was refused before one was chosen",
  upstream: "the same",
  status: "of the response; `none` if the client left before it, `other` for an unknown status",
  reason:
    "the error code, `ECONNRESET` for example; `other` for a rare one; `unsent` or `unread` where a POST or PATCH is known not to have arrived",
  side: "`client`, `upstream` or `proxy`: the side that ended the exchange, or that was pinged",
  how: "`done`, `fin`, `rst`, `timeout`, `no_pong`, `drain`, `limit`, `protocol`, as in the log",
  phase: "`connect`, `request_body`, `waiting`, `response_body`, `tunnel`, `head`, as in the log",
  end: "side and how, joined: `client_fin`",
  direction: "`in` from the client, `out` to it",
};

/** Two tables in Markdown: the metrics with type, labels and meaning, then the labels. */
export function metricsTable(): string {
  const registry = new Metrics(() => ({}) as Report).load();
  const own = registry.getMetricsAsArray().filter(({ name }) => name.startsWith("single_port_"));
  // prom-client's types leave out the label names and the kind of a metric, which the objects have.
  const rows = (own as unknown as { name: string; help: string; labelNames: string[]; constructor: { name: string } }[])
    .map(({ name, help, labelNames, constructor }) => {
      const labels = labelNames.filter((label) => label !== "le").map((label) => `\`${label}\``);
      return `| \`${name}\` | ${constructor.name.toLowerCase()} | ${labels.join(", ")} | ${help} |`;
    })
    .sort();
  const used = Object.entries(LABELS).filter(([label]) => rows.some((row) => row.includes(`\`${label}\``)));
  return [
    "| metric | type | labels | meaning |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
    "| label | its values |",
    "| --- | --- |",
    ...used.map(([label, values]) => `| \`${label}\` | ${values} |`),
  ].join("\n");
}
