import { defineConfig } from "vitest/config";

// A test waits for several events in turn, each with a patience of its own (test/kit/until.ts): that one should speak.
export default defineConfig({ test: { testTimeout: 20_000 } });
