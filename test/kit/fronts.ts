// Debian's Caddy, nginx and HAProxy in front of a port, configured by the blocks that the README prints: only ports,
// paths and, where a test asks for it, the life of idle connections are put in.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { WebSocket, type ClientOptions } from "ws";
import { wrap, type RawClient } from "./client.ts";
import { atEnd } from "./lifetime.ts";
import { serving, temporaryFolder, type Program } from "./programs.ts";
import { readmeBlock, substitute } from "./readme.ts";
import { until, within } from "./until.ts";
import { deadPort } from "./upstream.ts";

/** The name in the recipes. */
export const DASH = "dash.example.org";
const HERE = "127.0.0.1:3000";

/** A front that runs. */
export interface Front {
  program: Program;
  port: number;
  /** What its clients write in `Host`. */
  host: string;
  /** The page's origin, as a browser would see it. */
  origin: string;
  /** Does it tell its client that a body of unknown length which broke off was complete? */
  completesCutBodies: boolean;
  /** A raw connection to it, through TLS if it speaks that. */
  dial(): Promise<RawClient>;
  /** A WebSocket through it, as the page's; not open yet. */
  open(path: string, protocols?: string[]): WebSocket;
}

/** What a test may want to be different from the recipe. */
export interface Different {
  /** How long its connections to us may be idle. */
  poolMs?: number;
  /** A recipe other than the plain one, with this machine's addresses. */
  caddyfile?: string;
}

/** Starts a front before this port of ours. */
export type StartFront = (target: number, different?: Different) => Promise<Front>;

/** Every front, by the name that its tests have. */
export const FRONTS: Record<"Caddy" | "Caddy with TLS" | "nginx" | "HAProxy", StartFront> = {
  Caddy: (target, different) => startCaddy(target, false, different),
  "Caddy with TLS": (target, different) => startCaddy(target, true, different),
  nginx: startNginx,
  HAProxy: startHaproxy,
};

/** Where Debian's packages put them; they are never fetched. */
const PROGRAMS = { Caddy: "/usr/bin/caddy", nginx: "/usr/sbin/nginx", HAProxy: "/usr/sbin/haproxy" };

/** Why this front cannot run here; undefined if it can. */
export function noFront(name: keyof typeof FRONTS): string | undefined {
  const program = PROGRAMS[name === "Caddy with TLS" ? "Caddy" : name];
  const missing = [program, "/usr/bin/openssl"].filter((file) => !existsSync(file));
  return missing.length > 0 ? `${missing.join(" and ")} missing` : undefined;
}

/** The README's Caddyfile, before this port of ours. */
export function caddyfile(target: number): string {
  const plain = readmeBlock("caddyfile", "{\n\treverse_proxy 127.0.0.1:3000\n}");
  return substitute(plain, { [HERE]: `127.0.0.1:${target}` });
}

/** The README's Caddyfile with a password, as this Caddy spells it. */
export function caddyfileWithPassword(target: number, password: string): string {
  const hash = execFileSync(PROGRAMS.Caddy, ["hash-password", "--plaintext", password], { encoding: "utf8" }).trim();
  const text = substitute(readmeBlock("caddyfile", "basicauth"), { [HERE]: `127.0.0.1:${target}`, HASH: hash });
  return isOldCaddy(/^v?2\.[0-7]\./) ? text : text.replace("basicauth", "basic_auth");
}

function isOldCaddy(old: RegExp): boolean {
  return old.test(execFileSync(PROGRAMS.Caddy, ["version"], { encoding: "utf8" }));
}

async function startCaddy(target: number, tls: boolean, different: Different = {}): Promise<Front> {
  const [folder, port, other] = [await temporaryFolder(), await deadPort(), await deadPort()];
  let site = different.caddyfile ?? caddyfile(target);
  if (different.poolMs !== undefined) {
    // Said explicitly, as the default of 32 goes with the other default.
    const idle = `keepalive ${different.poolMs}ms\n\t\t\tkeepalive_idle_conns_per_host 32`;
    const pool = `transport http {\n\t\t\t${idle}\n\t\t}`;
    site = site.replace(/^\treverse_proxy .*$/m, `$& {\n\t\t${pool}\n\t}`);
  }
  // With TLS the recipe is run as it stands: only Caddy's own certificates and ports are settings of this machine.
  const ports = tls ? `https_port ${port}\n\thttp_port ${other}` : "auto_https off";
  const own = `{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tdefault_bind 127.0.0.1\n\t${ports}\n}\n`;
  if (!tls) site = substitute(site, { [`${DASH} {`]: `http://${DASH}:${port} {` });
  const file = join(folder, "Caddyfile");
  await writeFile(file, own + site);
  const env = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  const program = await serving(port, PROGRAMS.Caddy, ["run", "--config", file, "--adapter", "caddyfile"], env);
  const root = join(folder, "caddy/pki/authorities/local/root.crt");
  const front = await frontOf(program, tls ? root : undefined);
  // Caddy's issue 5951: mended since 2.7.6, and Debian 12 has 2.6.
  return { ...front, completesCutBodies: isOldCaddy(/^v?2\.[0-6]\./) };
}

/** A certificate for the name of the recipes, as they expect it. */
async function certificate(): Promise<{ folder: string; crt: string; key: string; pem: string }> {
  const folder = await temporaryFolder();
  const [crt, key, pem] = [join(folder, "dash.crt"), join(folder, "dash.key"), join(folder, "dash.pem")];
  const how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(" ");
  const name = ["-subj", `/CN=${DASH}`, "-addext", `subjectAltName=DNS:${DASH}`];
  execFileSync("/usr/bin/openssl", [...how, ...name, "-keyout", key, "-out", crt], { stdio: "pipe" });
  await writeFile(pem, readFileSync(crt, "utf8") + readFileSync(key, "utf8"));
  return { folder, crt, key, pem };
}

async function startNginx(target: number, { poolMs }: Different = {}): Promise<Front> {
  const [{ folder, crt, key }, port] = [await certificate(), await deadPort()];
  const site = substitute(readmeBlock("nginx"), {
    [HERE]: `127.0.0.1:${target}`,
    "443": `127.0.0.1:${port}`,
    "/etc/ssl/dash.crt": crt,
    "/etc/ssl/dash.key": key,
    "keepalive 32;": `keepalive 32;${poolMs === undefined ? "" : ` keepalive_timeout ${poolMs}ms;`}`,
  });
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${folder};`);
  // One process: a worker would outlive a master that is killed.
  const main = `daemon off;\nmaster_process off;\npid ${folder}/pid;\nerror_log stderr;\n`;
  const file = join(folder, "nginx.conf");
  await writeFile(file, `${main}events {}\nhttp {\naccess_log off;\n${temporary.join("\n")}\n${site}}\n`);
  return await frontOf(await serving(port, PROGRAMS.nginx, ["-p", folder, "-c", file]), crt);
}

async function startHaproxy(target: number, { poolMs }: Different = {}): Promise<Front> {
  const [{ folder, crt, pem }, port] = [await certificate(), await deadPort()];
  const configuration = substitute(readmeBlock("haproxy"), {
    [HERE]: `127.0.0.1:${target}${poolMs === undefined ? "" : ` pool-purge-delay ${poolMs}ms`}`,
    ":443": `127.0.0.1:${port}`,
    "/etc/haproxy/dash.pem": pem,
  });
  const file = join(folder, "haproxy.cfg");
  await writeFile(file, configuration);
  return await frontOf(await serving(port, PROGRAMS.HAProxy, ["-db", "-f", file]), crt);
}

/** How clients reach it; resolves when it answers. */
async function frontOf(program: Program, ca: string | undefined): Promise<Front> {
  const { port } = program;
  const host = `${DASH}:${port}`;
  const origin = `${ca === undefined ? "http" : "https"}://${host}`;
  const trust = (): { ca: string; servername: string } | undefined =>
    ca === undefined ? undefined : { ca: readFileSync(ca, "utf8"), servername: DASH };
  const front: Front = {
    program,
    port,
    host,
    origin,
    completesCutBodies: false,
    dial: () => dialFront(port, trust()),
    open: (path, protocols = []) => {
      const options: ClientOptions = { host: "127.0.0.1", origin, headers: { Host: host }, ...trust() };
      const socket = new WebSocket(`ws${ca === undefined ? "" : "s"}://127.0.0.1:${port}${path}`, protocols, options);
      socket.on("error", () => {});
      atEnd(() => socket.terminate());
      return socket;
    },
  };
  // Caddy makes its certificate when it listens already.
  const answers = async (): Promise<boolean> => (ca === undefined || existsSync(ca)) && (await canDial(front));
  await until(answers, () => `a first connection through the front; ${program.output()}`, 10_000);
  return front;
}

async function canDial(front: Front): Promise<boolean> {
  try {
    (await front.dial()).socket.end();
    return true;
  } catch {
    return false;
  }
}

async function dialFront(port: number, trust: { ca: string; servername: string } | undefined): Promise<RawClient> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  atEnd(() => void socket.destroy());
  const failed = new Promise<never>((_, reject) => socket.once("error", reject));
  const ready = async (one: Socket | TLSSocket, event: string): Promise<unknown> =>
    await within(Promise.race([new Promise((resolve) => one.once(event, resolve)), failed]), `${event} to ${port}`);
  await ready(socket, "connect");
  if (!trust) return wrap(socket);
  const secure = connectTls({ socket, ...trust });
  const client = wrap(secure);
  await Promise.race([
    ready(secure, "secureConnect"),
    new Promise((_, reject) => secure.once("error", reject)),
    new Promise((_, reject) => secure.once("close", () => reject(new Error("closed within the TLS handshake")))),
  ]);
  return { ...client, reset: () => void socket.resetAndDestroy() };
}
