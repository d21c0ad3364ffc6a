// Checks a page's accessibility with axe-core: contrast, names, roles, targets.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { expect } from "vitest";

const SOURCE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Finding {
  id: string;
  nodes: { target: string[]; failureSummary?: string }[];
}

/** Expects a page without findings, in the colours and the size that it has now. */
export async function expectAccessible(page: Page, what: string): Promise<void> {
  // By the debugger, not by a script element: the page's own policy forbids those.
  await page.evaluate(SOURCE);
  // Text that has not come to rest in its colour is no finding.
  await page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished.catch(() => {})))");
  const findings = await page.evaluate<Finding[]>(
    `axe.run(document, { rules: { "target-size": { enabled: true } } }).then(({ violations }) => violations.map(
      ({ id, nodes }) => ({ id, nodes: nodes.map(({ target, failureSummary }) => ({ target, failureSummary })) })))`,
  );
  expect(findings, what).toEqual([]);
}
