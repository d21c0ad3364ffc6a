// How long what the kit opens lives: as long as the test, or as long as the file when it is opened by forFile().

import { beforeAll, onTestFinished } from "vitest";

let ofFile: (() => unknown)[] | undefined;

/** Runs `end` when the test is over, or the file, for what forFile() opens. */
export function atEnd(end: () => unknown): void {
  if (ofFile) ofFile.push(end);
  else onTestFinished(async () => void (await end()));
}

/** Opens something before the first test of the file; everything of the kit in it lives until the last one is over. */
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
