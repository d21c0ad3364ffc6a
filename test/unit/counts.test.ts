import { expect, test } from "vitest";
import type { Outcome } from "../../src/core/outcome.ts";
import { Counts } from "../../src/ops/counts.ts";

const BASE = {
  kind: "request",
  route: "http",
  status: 200,
  by: "upstream",
  how: "done",
  phase: "response_body",
} as const;

test.each([
  ["kind", { kind: "tunnel" }],
  ["route", { route: "mux" }],
  ["status", { status: 404 }],
  ["side", { by: "client" }],
  ["how", { how: "fin" }],
  ["phase", { phase: "waiting" }],
] as const)("endings that differ by their %s only are counted apart", (_, other) => {
  const counts = new Counts();
  const told = [BASE, { ...BASE, ...other }].map((one) => ({ ...one }) as unknown as Outcome);
  for (const outcome of [...told, ...told.slice(0, 1)]) counts.add(outcome);
  expect(counts.rows).toEqual([
    { ...BASE, count: 2 },
    { ...BASE, ...other, count: 1 },
  ]);
});
