// Other people's programs, for tests beside or against them: Debian's Caddy and nginx, and the server that single-port
// replaces.

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cleanEnv, NODE } from "./daemon.ts";
import { atEnd } from "./lifetime.ts";
import { until } from "./until.ts";
import { deadPort } from "./upstream.ts";

const run = promisify(execFile);

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "single-port-test-"));
  atEnd(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A program that serves on a port. */
export interface Program {
  port: number;
  child: ChildProcess;
  /** All it wrote, stdout and stderr. */
  output(): string;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Runs a program that serves on `port`; resolves when it accepts, and throws what it said if it does not. */
export async function serving(
  port: number,
  file: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<Program> {
  const child = spawn(file, args, { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = new Promise((resolve) => child.once("close", resolve));
  atEnd(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  await until(
    () => canConnect(port),
    () => `${file} to listen; ${output}`,
    10_000,
  );
  return { port, child, output: () => output };
}

/** Where Debian's package puts it; it is never fetched. */
const CADDY = "/usr/bin/caddy";

/** Why Caddy cannot be used here, if so. */
export function noCaddy(): string | undefined {
  return existsSync(CADDY) ? undefined : `${CADDY} is not installed`;
}

/** Caddy in front of a port, without TLS. */
export async function caddyInFrontOf(target: number): Promise<Program> {
  const site = (port: number): string => `:${port} {\n\tbind 127.0.0.1\n\treverse_proxy 127.0.0.1:${target}\n}\n`;
  return await runCaddy("auto_https off", site);
}

/** Caddy with TLS of its own making on https://dash.localhost, which asks for the port under the port's own name. */
export async function tlsCaddyInFrontOf(target: number): Promise<Program> {
  const proxy = `reverse_proxy 127.0.0.1:${target} {\n\t\theader_up Host {upstream_hostport}\n\t}`;
  const site = (port: number): string =>
    `https://dash.localhost:${port} {\n\tbind 127.0.0.1\n\ttls internal\n\t${proxy}\n}\n`;
  return await runCaddy("auto_https disable_redirects\n\tskip_install_trust", site);
}

async function runCaddy(options: string, site: (port: number) => string): Promise<Program> {
  const folder = await temporaryFolder();
  const port = await deadPort();
  const file = join(folder, "Caddyfile");
  await writeFile(file, `{\n\tadmin off\n\t${options}\n}\n${site(port)}`);
  const env = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  return await serving(port, CADDY, ["run", "--config", file, "--adapter", "caddyfile"], env);
}

const NGINX = "/usr/sbin/nginx";

/** Why nginx cannot be used here, if so. */
export function noNginx(): string | undefined {
  return existsSync(NGINX) ? undefined : `${NGINX} is not installed`;
}

/** nginx with one server, without TLS, which says `server` in its block; `folder` is its root. */
export async function runNginx(server: string, folder?: string): Promise<Program> {
  const [root, port] = [folder ?? (await temporaryFolder()), await deadPort()];
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${root};`);
  const block = `server { listen 127.0.0.1:${port}; root ${root}; ${server} }`;
  // One process: a worker would outlive a master that is killed.
  const main = `daemon off; master_process off; pid ${root}/pid; error_log stderr; events {}`;
  const file = join(root, "nginx.conf");
  await writeFile(file, `${main} http { access_log off; ${temporary.join(" ")} ${block} }\n`);
  return await serving(port, NGINX, ["-p", root, "-c", file]);
}

const REPLACED = { name: "@aoagents/ao-web@0.9.5", file: "package/dist-server/single-port-server.js" };

/**
 * The file of the server that single-port replaces, from npm; undefined when the registry cannot be reached. Nothing of
 * the package is installed, and no script of it runs.
 */
export async function fetchReplaced(): Promise<string | undefined> {
  const folder = await temporaryFolder();
  const fetched = await run("npm", ["pack", REPLACED.name, "--pack-destination", folder], { timeout: 60_000 }).catch(
    () => undefined,
  );
  if (!fetched) return undefined;
  const archive = join(folder, fetched.stdout.trim().split("\n").at(-1) ?? "");
  const { stdout } = await run("tar", ["-xzOf", archive, REPLACED.file], { maxBuffer: 10 * 1024 * 1024 });
  const file = join(folder, "single-port-server.mjs");
  await writeFile(file, stdout);
  return file;
}

/** Runs it, in front of a mux. */
export async function startReplaced(file: string, mux: number): Promise<Program> {
  const port = await deadPort();
  const env = { PORT: port, NEXT_INTERNAL_PORT: await deadPort(), DIRECT_TERMINAL_PORT: mux };
  const words = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)]));
  return await serving(port, NODE, [file], words);
}
