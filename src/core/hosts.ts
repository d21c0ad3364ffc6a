// Which Host values are accepted. Protects against DNS rebinding: a page on the internet lets its own name resolve to
// this machine, and then is of the same origin. Used by front/router.ts for tunnels and by ops/admin.ts; pure.

import { isIPv4 } from "node:net";
import { whyInvalid, type Why } from "./errors.ts";
import { holdsHost, hostName, type HostList } from "./names.ts";

/**
 * May a page of this host be served? `localhost` and IP addresses always: no attacker can point those to this machine
 * by DNS. Other names only when they are in the list.
 *
 * @param host as in the Host field, with or without a port.
 * @param allowed the hosts of `--allow-host` and of `--host`.
 */
export function isHostAllowed(host: string, allowed: HostList): boolean {
  if (allowed.has("*")) return true;
  const name = hostName(host);
  if (name === undefined) return false;
  const isOurs = name === "localhost" || name.endsWith(".localhost") || name.startsWith("[") || isIPv4(name);
  return isOurs || holdsHost(allowed, name);
}

/** The hosts of `--allow-host` and the one of `--host` (or `--admin`): a name that is bound belongs to this machine. */
export function hostsOf(allowHost: Iterable<string>, bound: string): HostList {
  const name = hostName(bound);
  return new Set(name === undefined ? allowHost : [...allowHost, name]);
}

/** The explanation of a refused host. */
export function whyHost(host: string): Why {
  const expected = "localhost, an IP address, the host of --host or --admin, or one of --allow-host";
  return whyNot(`host ${host}`, expected, "--allow-host", hostName(host) ?? "");
}

/** A longer value, in characters, is not printed to be pasted. */
const MAX_VALUE = 200;
// Characters that are safe to paste into a shell unquoted.
const PLAIN = /^[\w.+:/[\]-]+$/;

/**
 * The explanation of a refused host or origin.
 *
 * @param value the option's value that would accept it. It is left out when it is not safe to paste into a shell.
 */
export function whyNot(seen: string, expected: string, option: string, value: string): Why {
  const isShown = PLAIN.test(value) && value.length <= MAX_VALUE;
  return { ...whyInvalid(seen, expected), option: isShown ? `${option} ${value}` : option };
}
