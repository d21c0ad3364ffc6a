// The dashboard of test/long/dashboard.test.ts.

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

export default {
  // The packages are one folder above the copy that runs.
  turbopack: { root: dirname(here) },
  outputFileTracingRoot: dirname(here),
  allowedDevOrigins: ["127.0.0.1"],
  devIndicators: false,
  experimental: { serverActions: { bodySizeLimit: "20mb" } },
};
