// Decides what a request is: plain, a tunnel, or something to refuse. Called for each request and
// each upgrade by gate.ts; pure, so every decision is a unit test.

import { METHODS } from "node:http";
import type { FailureCode, Why } from "../core/errors.ts";
import { isHostAllowed, whyHost, whyNot } from "../core/hosts.ts";
import { holdsOrigin, type HostList, type OriginList } from "../core/names.ts";
import { DEFAULT_MUX_PATH } from "../core/target.ts";

/** The facts a decision rests on; `RequestHead` of http/request-head.ts has them. */
export interface Facts {
  hosts: string[];
  /** Of an absolute-form target; replaces Host. */
  authority: string | undefined;
  length: string | undefined;
  codings: string[];
  websocket: boolean;
  origin: string | undefined;
  forwardedHost: string | undefined;
  /** Is there any field by which a front says who the client is? */
  forwarded: boolean;
}

/** The request line. */
export interface RequestLine {
  method: string;
  /** Path and query, byte for byte; undefined when the request target is nonsense. */
  path: string | undefined;
  /** `1.0` or `1.1`. */
  version: string;
  /** How often it may still be passed on; undefined without a limit, NaN when that is no number. */
  hops?: number | undefined;
}

/** What to do with a request. */
export type Decision =
  | { to: "plain" }
  /** Answered here: OPTIONS or TRACE that may not be passed on. */
  | { to: "self" }
  /** A tunnel to `upstream`; `path` replaces the request's path, if given. The query goes along. */
  | { to: "tunnel"; upstream: string; path: string | undefined }
  | { to: "refuse"; code: FailureCode; why?: Why | undefined };

/** One path that leads to a mux. */
export interface MuxRoute {
  upstream: string;
  /** The path the mux is asked for; undefined to leave the request's own. */
  path: string | undefined;
}

/** What the router knows of the options. */
export interface Routes {
  /** By request path, byte for byte up to `?`. */
  mux: ReadonlyMap<string, MuxRoute>;
  /** Origins that may open a mux besides the page's own; `*` allows all. */
  allowOrigin: OriginList;
  /** Hosts by which a page may reach a mux without a front, that of `--host` among them. */
  allowHost: HostList;
  /**
   * Is the http upstream at the address of a mux? Then any path may lead to its terminals: how `/%6dux`, `/x/../mux`
   * and `/mux/` are read is that server's business. So each upgrade to it is checked, and not only those on mux paths.
   */
  httpIsMux: boolean;
}

const refuse = (code: FailureCode, why?: Why): Decision => ({ to: "refuse", code, why });

/** The path of a request target: everything before `?`, not decoded and not normalised. */
export function pathOf(url: string): string {
  const query = url.indexOf("?");
  return query < 0 ? url : url.slice(0, query);
}

// RFC 9110 7.2 with RFC 3986 3.2.2: a name, an IPv4 or a bracketed IPv6, and perhaps a port.
const HOST = /^(\[[0-9a-fA-F:.]+\]|[\w.~!$&'()*+,;=%-]*)(:\d*)?$/;

/** Node's parser takes RTSP's methods as well (RFC 2326 10), and does not tell which protocol it has read. */
const HTTP_METHODS = new Set(METHODS);

/** Is this the kind of upgrade that becomes a tunnel, if the router finds nothing against it? */
export function wantsTunnel(line: Omit<RequestLine, "path">, facts: Pick<Facts, "websocket">): boolean {
  return facts.websocket && line.method === "GET" && line.version === "1.1";
}

/** Does a body follow the head (RFC 9112 6.3)? */
function announcesBody(facts: Facts): boolean {
  return facts.codings.length > 0 || (facts.length !== undefined && !/^0+$/.test(facts.length));
}

/** Decides about one request. `trusted` says whether its X-Forwarded-Host is believed. */
export function route(line: RequestLine, facts: Facts, trusted: boolean, routes: Routes): Decision {
  if (line.method === "CONNECT") return refuse("method_not_allowed");
  if (!HTTP_METHODS.has(line.method)) return refuse("bad_request");
  // Node's parser takes 0.9 and 2.0 too, which are framed by other rules.
  if (line.version !== "1.1" && line.version !== "1.0") return refuse("bad_request");
  // Two hosts, or none: whom the client meant is a guess, and a front may guess differently (RFC 9112 3.2).
  const [host, another] = facts.hosts;
  if (another !== undefined || (host === undefined ? line.version === "1.1" : !HOST.test(host))) {
    return refuse("bad_request");
  }
  // The Host field has to be right all the same, and the target's takes its place (RFC 9112 3.2.2).
  const { authority } = facts;
  if (line.path === undefined || (authority !== undefined && (!HOST.test(authority) || /^(:|$)/.test(authority)))) {
    return refuse("bad_request");
  }
  // The only transfer coding that can be relayed is one chunked; the parser lets `gzip, chunked` through.
  const [coding, second] = facts.codings;
  if (coding !== undefined && (coding !== "chunked" || second !== undefined)) return refuse("bad_request");
  if (line.hops !== undefined && !(line.hops > 0)) return line.hops === 0 ? { to: "self" } : refuse("bad_request");
  if (!wantsTunnel(line, facts)) return { to: "plain" };
  // What follows such a head may be its body or the first bytes of the tunnel: a way to smuggle (RFC 9112 11.2).
  if (announcesBody(facts)) return refuse("bad_request");
  const path = pathOf(line.path);
  // The web server would leave it without an answer (Next.js does), and look hung.
  if (path === DEFAULT_MUX_PATH && routes.mux.size === 0) return refuse("no_mux");
  const mux = routes.mux.get(path);
  if (mux || routes.httpIsMux) {
    const refusal = refusalOf(facts, trusted, routes);
    if (refusal) return refusal;
  }
  return mux ? { to: "tunnel", ...mux } : { to: "tunnel", upstream: "http", path: undefined };
}

/**
 * May the page that sent this open a mux? Browsers do not apply the same-origin policy to WebSockets, so without these
 * two checks any page on the internet could type into the terminal (RFC 6455 10.2). No Origin: it is no browser.
 */
function refusalOf(facts: Facts, trusted: boolean, routes: Routes): Decision | undefined {
  const { origin, authority, hosts } = facts;
  const { allowOrigin } = routes;
  if (origin === undefined || holdsOrigin(allowOrigin, origin)) return undefined;
  const host = authority ?? hosts[0] ?? "";
  const own = [host, ...(trusted ? (facts.forwardedHost ?? "").split(",") : [])].filter((name) => name !== "");
  if (!isOwn(origin, own)) {
    const expected = `a page of ${own.join(" or ") || "the host that was asked for, and none was"}`;
    return refuse("origin_not_allowed", whyNot(`origin ${origin}`, expected, "--allow-origin", origin));
  }
  // The page names its own host, which says nothing of the page if its name was made to point here (DNS rebinding).
  if ((trusted && facts.forwarded) || isHostAllowed(host, routes.allowHost)) return undefined;
  return refuse("host_not_allowed", whyHost(host));
}

/** Is the page served from one of these hosts? */
function isOwn(origin: string, own: readonly string[]): boolean {
  const [, scheme, host] = /^(https?):\/\/([^/]+)$/i.exec(origin) ?? [];
  if (scheme === undefined || host === undefined) return false;
  // The default port may be written or not, and what the page's scheme was only the front knows.
  const bare = (name: string): string =>
    name.toLowerCase().replace(scheme.toLowerCase() === "https" ? /:443$/ : /:80$/, "");
  return own.some((name) => bare(name.replaceAll(/^[ \t]+|[ \t]+$/g, "")) === bare(host));
}
