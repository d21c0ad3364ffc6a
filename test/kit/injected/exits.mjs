// Loaded into the daemon with --import: writes down its exit code (EXIT_JOURNAL), for when nobody is left to wait for
// it.

import { appendFileSync } from "node:fs";

process.on("exit", (code) => appendFileSync(process.env.EXIT_JOURNAL, `${code}\n`));
