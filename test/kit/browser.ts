// Debian's Chromium, driven by playwright-core: one for each test file, with a profile of its own.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import { onTestFinished } from "vitest";
import { atEnd, forFile } from "./lifetime.ts";
import { childCalled, familyOf } from "./processes.ts";

/** Where Debian's package puts it; it is never fetched. */
const CHROMIUM = "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Why there can be no browser here; undefined if there can. */
export const noChromium: string | undefined = existsSync(CHROMIUM) ? undefined : `there is no ${CHROMIUM}`;
/** Titles a suite that needs it. */
export const IN_CHROMIUM = `in Chromium (skipped where there is no ${CHROMIUM})`;

/** A browser for the tests of a suite. */
export interface Browser {
  context(): BrowserContext;
  /** An empty page that is closed with the test. */
  newPage(): Promise<Page>;
  /** The pids of all its processes: to freeze them. */
  processes(): number[];
}

/** What a suite wants to be different. */
export interface BrowserOptions {
  ignoreHTTPSErrors?: boolean;
  /** Further ones for Chromium's command line. */
  flags?: string[];
}

/** Starts one before the first test, and ends it after the last. */
export function browserForFile({ flags = [], ...options }: BrowserOptions = {}): Browser {
  let profile = "";
  const context = forFile(async () => {
    profile = mkdtempSync(join(tmpdir(), "single-port-chromium-"));
    atEnd(() => rmSync(profile, { recursive: true, force: true }));
    const launched = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM,
      args: [...FLAGS, ...flags],
      ...options,
    });
    atEnd(() => launched.close());
    return launched;
  });
  return {
    context,
    processes: () => {
      const first = childCalled(process.pid, profile);
      return first === undefined ? [] : [first, ...familyOf(first)];
    },
    newPage: async () => {
      const page = await context().newPage();
      onTestFinished(() => page.close());
      return page;
    },
  };
}
