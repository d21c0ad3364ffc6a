// A project that has single-port in its node_modules, as the README's recipes for managers expect.

import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { tempFolder } from "./child.ts";
import { BIN } from "./daemon.ts";
import { readmeBlock, ROOT, substitute } from "./readme.ts";

/** The ports that the README's examples name, and the ones that stand for them in this test. */
export interface Ports {
  3000: number;
  4000: number;
  14801: number;
}

/** A block of the README with a command of ours in it, for these ports. */
export function commandBlock(language: string, containing: string, ports: Ports): string {
  const { 3000: port, 4000: http, 14801: mux } = ports;
  return substitute(readmeBlock(language, containing), {
    "--port 3000 --http 4000 --mux 14801/mux": `--port ${port} --http ${http} --mux ${mux}/mux`,
  });
}

/** An empty folder with single-port installed. */
export function project(): string {
  const folder = tempFolder();
  mkdirSync(join(folder, "node_modules/.bin"), { recursive: true });
  symlinkSync(ROOT, join(folder, "node_modules/single-port"));
  symlinkSync(BIN, join(folder, "node_modules/.bin/single-port"));
  return folder;
}
