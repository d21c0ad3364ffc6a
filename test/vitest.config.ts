// Two tiers, by folder: `npm test` runs the quick one, `npm run test:all` both. One file: `npm test --
// test/e2e/x.test.ts`.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Where each run leaves its figures as JSON: .ci/run adds them up. */
const reports = process.env["SINGLE_PORT_TEST_REPORTS"];

/** Of test/long, what measures memory or time, or loads the machine itself: one file at a time, after all others. */
const ALONE = [
  "browser-tunnels",
  "environment",
  "last-requests",
  "many-pieces",
  "memory",
  "slow",
  "soak",
  "tunnel-volume",
].map((name) => `test/long/${name}.test.ts`);

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: {
    // Most tests wait for events and not for the processor, so more files run side by side than there are cores.
    maxWorkers: 5,
    // The files of a worker share the modules, which keep nothing from one file to the next: loading them anew is a
    // third of what the units ask of the processor.
    isolate: false,
    reporters: reports ? ["default", ["json", { outputFile: `${reports}/${process.pid}.json` }]] : ["default"],
    projects: [
      {
        extends: true,
        test: { name: "quick", include: ["test/{unit,fuzz,e2e}/**/*.test.ts"], sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: "long",
          include: ["test/long/**/*.test.ts"],
          exclude: ALONE,
          // Browsers and fronts want a processor of their own.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: { name: "alone", include: ALONE, maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
    ],
    // A test waits for several events in turn, each with a patience of its own (test/kit/until.ts): that one should
    // speak.
    testTimeout: 60_000,
  },
});
