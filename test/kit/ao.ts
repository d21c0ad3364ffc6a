// agent-orchestrator's dashboards from npm, as `ao start` starts them: Next.js, a mux of tmux shells, and
// `start-all.js` over both. Of the release that has a single-port-server.js npm lacks the core, for which ao-core.mjs
// stands.

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { tempFolder } from "./child.ts";
import { cleanEnv } from "./daemon.ts";
import { atEnd } from "./lifetime.ts";
import { fromNpm, NODE_PTY, type Packages } from "./npm.ts";

/** The releases; pages of the older one look for `/ws`, of the newer one for `/mux`. */
export const COMPOSIO = "@composio/ao-web";
export const AOAGENTS = "@aoagents/ao-web";

/** Both, with what they need; or why they cannot be had. */
export async function aoFromNpm(): Promise<Packages> {
  const versions = { [COMPOSIO]: "0.2.2", "@composio/ao-core": "0.2.0", ...NODE_PTY.versions };
  const overrides = { next: "15.5.29", ...NODE_PTY.overrides };
  return await fromNpm("ao", versions, { overrides, omitOptional: true, unpacked: [`${AOAGENTS}@0.9.5`] });
}

const TMUX = "/usr/bin/tmux";
/** Why there can be no shells here; undefined if there can. */
export const noTmux: string | undefined = existsSync(TMUX) ? undefined : `there is no ${TMUX}`;

/** Puts the core beside the release that lacks it. */
export function addCore(nodeModules: string): void {
  const folder = join(nodeModules, "@aoagents/ao-core");
  mkdirSync(folder, { recursive: true });
  const manifest = { name: "@aoagents/ao-core", version: "0.9.5", type: "module", exports: "./index.js" };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  copyFileSync(fileURLToPath(new URL("ao-core.mjs", import.meta.url)), join(folder, "index.js"));
}

/**
 * A copy of an installed release where `npm install --global` puts it; npm's prefix is the folder above `lib`. Returns
 * the folder of the release.
 */
export function installedGlobally(folder: string, prefix: string): string {
  const nodeModules = join(prefix, "lib/node_modules/@aoagents/ao/node_modules");
  const release = join(nodeModules, AOAGENTS);
  mkdirSync(dirname(release), { recursive: true });
  cpSync(join(folder, "node_modules", AOAGENTS), release, { recursive: true });
  for (const name of readdirSync(join(folder, "node_modules"))) {
    if (name !== "@aoagents") symlinkSync(join(folder, "node_modules", name), join(nodeModules, name));
  }
  addCore(nodeModules);
  return release;
}

/**
 * An environment with a program `ao` that does as `ao start` does: it has `port` and `directTerminalPort` of
 * agent-orchestrator.yaml, and runs `start-all.js` of the release in `web`.
 */
export function withAo(web: string, port: number, directTerminalPort: number): NodeJS.ProcessEnv {
  const [home, bin] = [tempFolder(), tempFolder()];
  const config = join(home, "agent-orchestrator.yaml");
  const project = "projects:\n  demo:\n    repo: you/demo\n    path: /nowhere\n    defaultBranch: main\n";
  writeFileSync(config, `port: ${port}\ndirectTerminalPort: ${directTerminalPort}\n${project}`);
  const env = `PORT=${port} DIRECT_TERMINAL_PORT=${directTerminalPort} TERMINAL_PORT=${directTerminalPort - 1}`;
  const start = `${env} exec "${process.execPath}" "${join(web, "dist-server/start-all.js")}"`;
  writeFileSync(join(bin, "ao"), `#!/bin/sh\n[ "$1" = start ] || exit 1\n${start}\n`, { mode: 0o755 });
  const path = [bin, dirname(process.execPath), process.env["PATH"]].join(":");
  const quiet = { NEXT_TELEMETRY_DISABLED: "1", NPM_CONFIG_UPDATE_NOTIFIER: "false" };
  return cleanEnv({ HOME: home, PATH: path, AO_CONFIG_PATH: config, ...quiet });
}

/** A tmux session with a shell in it, as AO's agents have one; it ends with the test. */
export function tmuxShell(): { name: string; screen: () => string } {
  const name = `single-port-test-${process.pid}-${(sessions += 1)}`;
  const tmux = (...words: string[]): string => execFileSync(TMUX, words, { encoding: "utf8", stdio: "pipe" });
  tmux("new-session", "-d", "-s", name, "-x", "100", "-y", "24", "sh");
  atEnd(() => tmux("kill-session", "-t", `=${name}`));
  return { name, screen: () => tmux("capture-pane", "-p", "-t", name) };
}
let sessions = 0;
