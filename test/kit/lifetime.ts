// Ends what the kit has opened: when the test is over, or when the test file is over for what forFile() opens.

import { beforeAll, onTestFinished } from "vitest";

let ofFile: (() => unknown)[] | undefined;

/** Runs `end` when the test is over, or the file, for what forFile() opens. */
export function atEnd(end: () => unknown): void {
  if (ofFile) ofFile.push(end);
  else onTestFinished(async () => void (await end()));
}

/** Opens something before the first test of the file; all that the kit opens in it is ended after the last test. */
export function forFile<T>(open: () => Promise<T>): () => T {
  let value: T | undefined;
  beforeAll(async () => {
    const ends: (() => unknown)[] = (ofFile = []);
    const endAll = async (): Promise<void> => {
      for (const end of ends.toReversed()) await end();
    };
    try {
      value = await open();
    } catch (error) {
      await endAll();
      throw error;
    } finally {
      ofFile = undefined;
    }
    return endAll;
  }, 30_000);
  return () => value as T;
}
