// Loads packages that are CommonJS, by require. Used for every package at run time; types come by `import type`.
// Modules of node that a start does not need (crypto, tls) are loaded by it too, where they are first used:
// `dist/cli.cjs` loads what any of its parts imports.

import { createRequire } from "node:module";

/**
 * Loads a package. Not `import`: for CommonJS that runs a second parser over each file to guess its exports (half of
 * the time to start), and behind a symlinked node_modules (pnpm, npm link) Node 22 and 25 give an empty default.
 */
export const load: NodeJS.Require = createRequire(import.meta.url);
