// Names of hosts as they are compared: one spelling for each, and lists that may hold `*` and `*.example.org`.
// Called by options/types.ts for what an operator writes and by front/router.ts for what a client sends; pure.

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
