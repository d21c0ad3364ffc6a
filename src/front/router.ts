// Decides where a request goes: to the web server, through a tunnel to a mux, or nowhere (a refusal).
// Called by proxy/gate.ts for each request and each upgrade; pure, so every decision is a unit test.

import { METHODS } from "node:http";
import { whyInvalid, type FailureCode, type Why } from "../core/errors.ts";
import { isHostAllowed, whyHost, whyNot } from "../core/hosts.ts";
import { holdsOrigin, type HostList, type OriginList } from "../core/names.ts";
import { DEFAULT_MUX_PATH } from "../core/target.ts";

/** The facts a decision rests on; `RequestHead` of http/request-head.ts has them. */
export interface Facts {
  hosts: string[];
  /** The authority of an absolute-form target, which replaces Host. */
  authority: string | undefined;
  length: string | undefined;
  codings: string[];
  websocket: boolean;
  origin: string | undefined;
  forwardedHost: string | undefined;
  /** Is there any field that only fronts set (http/front-fields.ts)? */
  forwarded: boolean;
}

/** The request line. */
export interface RequestLine {
  method: string;
  /** Path and query, byte for byte; undefined when the request target is nonsense. */
  path: string | undefined;
  /** `1.0` or `1.1`. */
  version: string;
  /** Max-Forwards; undefined without a limit, NaN when the field is no number. */
  hops?: number | undefined;
}

/** What to do with a request. */
export type Decision =
  | { to: "plain" }
  /** The proxy answers itself: OPTIONS or TRACE with `Max-Forwards: 0`. */
  | { to: "self" }
  /** A tunnel to `upstream`. `path` replaces the request's path, unless undefined; the query is kept. */
  | { to: "tunnel"; upstream: string; path: string | undefined }
  | { to: "refuse"; code: FailureCode; why?: Why | undefined };

/** Where one request path of a mux leads. */
export interface MuxRoute {
  upstream: string;
  /** The path that is sent to the mux; undefined for the request's own. */
  path: string | undefined;
}

/** The options that the router uses. */
export interface Routes {
  /** The muxes by request path, compared byte for byte up to `?`. */
  mux: ReadonlyMap<string, MuxRoute>;
  /** Origins that may open a mux besides the page's own; `*` allows all. */
  allowOrigin: OriginList;
  /** Hosts by which a page may reach a mux without a front: `--allow-host` and `--host`. */
  allowHost: HostList;
  /**
   * Is the web server at the address of a mux? Then any path may lead to terminals (the server may read `/%6dux`,
   * `/x/../mux` or `/mux/` as the mux's path), so the origin of every upgrade is checked, not only on mux paths.
   */
  httpIsMux: boolean;
}

const refuse = (code: FailureCode, why?: Why): Decision => ({ to: "refuse", code, why });

/** The refusal of a request that is not valid, or cannot be forwarded as it is. */
const invalid = (seen: string, expected: string): Decision => refuse("bad_request", whyInvalid(seen, expected));

/** The path of a request target: everything before `?`, not decoded and not normalised. */
export function pathOf(url: string): string {
  const query = url.indexOf("?");
  return query < 0 ? url : url.slice(0, query);
}

// RFC 9110 7.2 with RFC 3986 3.2.2: a name, an IPv4 or a bracketed IPv6, and perhaps a port.
const HOST = /^(\[[0-9a-fA-F:.]+\]|[\w.~!$&'()*+,;=%-]*)(:\d*)?$/;

/** Methods of HTTP. Node's parser also accepts RTSP's (RFC 2326 10), and does not tell which protocol it has read. */
const HTTP_METHODS = new Set(METHODS);

/** Is this a WebSocket handshake (RFC 6455 4.1)? The router may still refuse it. */
export function wantsTunnel(line: Omit<RequestLine, "path">, facts: Pick<Facts, "websocket">): boolean {
  return facts.websocket && line.method === "GET" && line.version === "1.1";
}

/** Does a body follow the head (RFC 9112 6.3)? */
function announcesBody(facts: Facts): boolean {
  return facts.codings.length > 0 || (facts.length !== undefined && !/^0+$/.test(facts.length));
}

/**
 * Decides about one request.
 *
 * @param trusted is the peer trusted, so that X-Forwarded-Host is believed?
 */
export function route(line: RequestLine, facts: Facts, trusted: boolean, routes: Routes): Decision {
  if (line.method === "CONNECT") return refuse("method_not_allowed");
  if (!HTTP_METHODS.has(line.method)) return invalid(`the method ${line.method}`, "a method of HTTP");
  // Node's parser also accepts versions 0.9 and 2.0, whose framing differs.
  if (line.version !== "1.1" && line.version !== "1.0") {
    return invalid(`HTTP/${line.version}`, "HTTP/1.1 or HTTP/1.0");
  }
  // With two Host fields, or none, the front may choose another host than this proxy (RFC 9112 3.2).
  const [host, another] = facts.hosts;
  if (another !== undefined || (host === undefined ? line.version === "1.1" : !HOST.test(host))) {
    const seen = another !== undefined ? "two Host fields" : host === undefined ? "no Host field" : `Host: ${host}`;
    return invalid(seen, "one Host field with a host");
  }
  // The authority of an absolute-form target replaces Host, which has to be valid all the same (RFC 9112 3.2.2).
  const { authority } = facts;
  if (line.path === undefined || (authority !== undefined && (!HOST.test(authority) || /^(:|$)/.test(authority)))) {
    return invalid("a request target that is not valid", "a path, or http:// with a host");
  }
  // Only a single `chunked` can be relayed. Node's parser also accepts `gzip, chunked`.
  const [coding, second] = facts.codings;
  if (coding !== undefined && (coding !== "chunked" || second !== undefined)) {
    return invalid(`Transfer-Encoding: ${facts.codings.join(", ")}`, "chunked alone");
  }
  if (line.hops !== undefined && !(line.hops > 0)) {
    return line.hops === 0 ? { to: "self" } : invalid("Max-Forwards that is no number", "a whole number");
  }
  if (!wantsTunnel(line, facts)) return { to: "plain" };
  // Bytes behind such a head could be its body or the first bytes of the tunnel: request smuggling (RFC 9112 11.2).
  if (announcesBody(facts)) return invalid("a WebSocket handshake with a body", "one without");
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
 * The refusal of a page that may not open a mux. Browsers do not apply the same-origin policy to WebSockets, so without
 * these two checks any page on the internet could type into the terminal (RFC 6455 10.2). A request without Origin is
 * not from a browser.
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
  // Same origin is no proof of a good page: an attacker can let the name of a page resolve to this machine (DNS
  // rebinding). A trusted front has checked the host, and so does isHostAllowed.
  if ((trusted && facts.forwarded) || isHostAllowed(host, routes.allowHost)) return undefined;
  return refuse("host_not_allowed", whyHost(host));
}

/** Is the origin one of these hosts, with or without the default port? */
function isOwn(origin: string, own: readonly string[]): boolean {
  const [, scheme, host] = /^(https?):\/\/([^/]+)$/i.exec(origin) ?? [];
  if (scheme === undefined || host === undefined) return false;
  // The origin's scheme says which port is the default one: whether a front serves https is not known here.
  const bare = (name: string): string =>
    name.toLowerCase().replace(scheme.toLowerCase() === "https" ? /:443$/ : /:80$/, "");
  return own.some((name) => bare(name.replaceAll(/^[ \t]+|[ \t]+$/g, "")) === bare(host));
}
