// Turns what a person writes for an upstream ("14801/mux", "unix:/run/app.sock:/mux") into an address.
// Called by types.ts and demo.ts; pure, so it never looks at the network or the file system.

/** Where an upstream listens: TCP or a unix socket (a named pipe on Windows). */
export type Address = { host: string; port: number } | { path: string };

/** A parsed target: the address, how to write it, and the path when one was given. */
export interface Target {
  address: Address;
  /** As written in logs and in the ready line, without a path: `127.0.0.1:4000`, `unix:/run/app.sock`. */
  label: string;
  /** The path that was given, `/mux`; undefined when none was. */
  path: string | undefined;
  /** The second address to try for a bare port: a server that listens on `localhost` may be on `::1` only. */
  other?: { host: string; port: number };
}

/** The forms a target is accepted in, for error messages. */
export const TARGET_FORMS =
  "4000, :4000, host:4000, http://host:4000, ws://host:14801/mux, 14801/mux, [::1]:4000, unix:/run/app.sock or unix:/run/app.sock:/mux";

const HOST_PORT = /^(?:(?<host>\[[0-9a-fA-F:.%\w]+\]|[A-Za-z0-9._-]*):)?(?<port>\d{1,5})$/;
// Characters that are allowed in a request target (RFC 9112 3.2): printable ASCII without a space.
const PATH = /^\/[\x21-\x7e]*$/;

/**
 * Parses one target. A bare port means loopback, because the upstreams live beside the proxy.
 *
 * @param minPort 0 where an address to listen on is meant.
 * @throws {Error} with a message that says what is accepted.
 */
export function parseTarget(text: string, minPort: 0 | 1 = 1): Target {
  if (text.startsWith("unix:")) return parseUnix(text);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text);
  if (scheme && !/^(http|ws)$/i.test(scheme[1] ?? "")) {
    const isTls = /^(https|wss)$/i.test(scheme[1] ?? "");
    const why = isTls
      ? `; TLS ends at the front: give the port that serves plain ${/^h/i.test(text) ? "http" : "ws"}://`
      : "";
    throw new Error(`${scheme[1]}:// is not supported for upstreams${why}`);
  }
  const rest = scheme ? text.slice(scheme[0].length) : text;
  const slash = rest.indexOf("/");
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  // The lone slash of "http://host:4000/" is part of how URLs are written, not a path.
  const path = slash < 0 || (scheme && rest.slice(slash) === "/") ? undefined : rest.slice(slash);
  const match = HOST_PORT.exec(authority);
  const port = Number(match?.groups?.["port"]);
  if (!match) throw new Error(whyNoAddress(authority));
  if (port < minPort || port > 65535) throw new Error(`here the port is ${port}, not one from ${minPort} to 65535`);
  checkPath(path);
  const written = match.groups?.["host"] || "127.0.0.1";
  const host = written.startsWith("[") ? written.slice(1, -1) : written;
  const target: Target = { address: { host, port }, label: `${written}:${port}`, path };
  if (!match.groups?.["host"]) target.other = { host: "::1", port };
  return target;
}

/** What is missing or not supported in a text that is no `host:port`. */
function whyNoAddress(authority: string): string {
  if (authority.includes("@")) return "here a user or password is given, which is not supported";
  return /:\d+$/.test(authority) ? "here the host is not a name or address" : "here the port is missing";
}

/** An address as text: `127.0.0.1:3000`, `[::1]:3000` (RFC 3986 3.2.2). */
export function hostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The URL for a browser on this machine. A server that listens on all addresses is reached by loopback. */
export function urlOf(host: string, port: number): string {
  const near = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${hostPort(near, port)}`;
}

function parseUnix(text: string): Target {
  // "unix:SOCKET[:PATH]": the last ":/" splits, so that a Windows pipe or a colon in a file name still works.
  const body = text.slice("unix:".length);
  const split = body.lastIndexOf(":/");
  const socket = split >= 0 ? body.slice(0, split) : body;
  const path = split >= 0 ? body.slice(split + 1) : undefined;
  if (socket === "") throw new Error("the socket's file name is missing");
  checkPath(path);
  return { address: { path: socket }, label: `unix:${socket}`, path };
}

function checkPath(path: string | undefined): void {
  if (path !== undefined && (!PATH.test(path) || /[?#]/.test(path))) {
    throw new Error("the path must be plain characters without ? or #");
  }
}

/** A mux: the request paths it answers on, and where it is. */
export interface MuxTarget {
  target: Target;
  /** Request paths, compared byte for byte up to `?`. */
  paths: string[];
}

/** The path that agent-orchestrator's pages connect to; served when `--mux` names no path of its own. */
export const DEFAULT_MUX_PATH = "/ao-terminal-mux";
/** The path that agent-orchestrator's mux serves; used for a target without a path. */
const OWN_MUX_PATH = "/mux";

/**
 * Parses `[path=]target` of `--mux`. `/term=14801/mux` answers on `/term` only; `14801/mux` on
 * `/ao-terminal-mux` and on the target's own path; `14801` is `14801/mux`, where the mux of agent-orchestrator is.
 */
export function parseMux(text: string): MuxTarget {
  const named = /^(\/[^=]*)=(.*)$/.exec(text);
  const target = parseTarget(named?.[2] ?? text);
  if (named?.[1] !== undefined) {
    checkPath(named[1]);
    return { target, paths: [named[1]] };
  }
  const path = target.path ?? OWN_MUX_PATH;
  const paths = path === DEFAULT_MUX_PATH ? [path] : [DEFAULT_MUX_PATH, path];
  return { target: { ...target, path }, paths };
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/i;
const ANY = /^(0\.0\.0\.0|::|)$/;

/**
 * Would connecting to `address` reach a server that listens on `other`? Names are not resolved; port 0 is any free one.
 */
export function isSameAddress(address: Address, other: Address): boolean {
  if ("path" in address || "path" in other) return "path" in address && "path" in other && address.path === other.path;
  if (address.port !== other.port || address.port === 0) return false;
  if (address.host.toLowerCase() === other.host.toLowerCase()) return true;
  const near = (name: string): boolean => LOOPBACK.test(name) || ANY.test(name);
  return near(address.host) && near(other.host);
}
