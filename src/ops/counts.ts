// Counts ended exchanges by all that the metrics tell apart. Fed by metrics.ts. A row is found by comparing, and not by
// a text of its labels: prom-client makes such a text for each count, which took a twentieth of a request's time.

import type { How, Side } from "../core/errors.ts";
import type { Outcome, Phase } from "../core/outcome.ts";

/** How many exchanges had all of this in common. */
export interface Row {
  readonly kind: Outcome["kind"];
  readonly route: string;
  readonly status: number;
  readonly by: Side;
  readonly how: How;
  readonly phase: Phase;
  count: number;
}

/** The counts since the start. */
export class Counts {
  /** By status: there are few rows for each. */
  readonly #rows = new Map<number, Row[]>();

  add(outcome: Outcome): void {
    let rows = this.#rows.get(outcome.status);
    if (!rows) this.#rows.set(outcome.status, (rows = []));
    for (const row of rows) {
      if (!isOf(row, outcome)) continue;
      row.count += 1;
      return;
    }
    const { kind, route, status, by, how, phase } = outcome;
    rows.push({ kind, route, status, by, how, phase, count: 1 });
  }

  /** All rows, in no particular order. */
  get rows(): Row[] {
    return [...this.#rows.values()].flat();
  }
}

function isOf(row: Row, { kind, route, by, how, phase }: Outcome): boolean {
  return row.how === how && row.by === by && row.phase === phase && row.route === route && row.kind === kind;
}
