// Names of hosts and origins as they are compared: one spelling for each, and lists that may hold `*` and
// `*.example.org`. Called by options/types.ts for what an operator writes and by front/router.ts for what a client
// sends; pure.

import { domainToASCII } from "node:url";

/** Hosts to compare with: names and addresses as `hostName()` spells them, `*.example.org`, or `*` for all. */
export type HostList = ReadonlySet<string>;

// RFC 9110 7.2 with RFC 3986 3.2.2: a name, an IPv4 or a bracketed IPv6, and perhaps a port. What a URL parser would
// cut off or decode is no part of a name.
const HOST_PORT = /^(\[[0-9a-f:.]+\]|[^\s:[\]/?#\\@%]+?)\.?(?::\d*)?$/i;

/**
 * The one spelling of a host: lower case, punycode, without port and final dot; IPv6 shortened and in brackets.
 *
 * @returns undefined for what is no host.
 */
export function hostName(text: string): string | undefined {
  const [, host = ""] = HOST_PORT.exec(text) ?? [];
  return domainToASCII(host) || undefined;
}

/** Does the list hold `host` (as `hostName()` spells it): itself, or a wildcard for one or more of its first labels? */
export function holdsHost(list: HostList, host: string): boolean {
  if (list.has("*") || list.has(host)) return true;
  for (let dot = host.indexOf("."); dot > 0; dot = host.indexOf(".", dot + 1)) {
    if (list.has(`*${host.slice(dot)}`)) return true;
  }
  return false;
}

/** Origins to compare with: as `originName()` spells them, `https://*.example.org`, or `*` for all. */
export type OriginList = ReadonlySet<string>;

// RFC 6454 7. `null` is what a sandboxed frame and a file: page send, `file://` what Electron sends for one.
const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/(\[[^\]]*\]|[^:[\]]+)(?::(\d{1,5}))?$/i;
const DEFAULT_PORTS: Record<string, number> = { http: 80, https: 443 };

/**
 * The one spelling of an origin: scheme and host in lower case, punycode, without the default port.
 *
 * @returns undefined for what is no origin.
 */
export function originName(text: string): string | undefined {
  if (text === "null" || text === "file://") return text;
  const [, scheme = "", written = "", digits] = ORIGIN.exec(text) ?? [];
  const host = hostName(written);
  const lower = scheme.toLowerCase();
  const port = digits === undefined ? DEFAULT_PORTS[lower] : Number(digits);
  if (host === undefined || (port ?? 0) > 65535) return undefined;
  return `${lower}://${host}${port === DEFAULT_PORTS[lower] ? "" : `:${port}`}`;
}

/**
 * Does the list hold the origin that a browser sent: itself, or a wildcard for one or more of its host's first labels?
 */
export function holdsOrigin(list: OriginList, origin: string): boolean {
  if (list.has("*")) return true;
  const name = originName(origin);
  if (name === undefined) return false;
  if (list.has(name)) return true;
  const host = name.indexOf("://") + 3;
  for (let dot = name.indexOf(".", host); dot > host; dot = name.indexOf(".", dot + 1)) {
    if (list.has(`${name.slice(0, host)}*${name.slice(dot)}`)) return true;
  }
  return false;
}
