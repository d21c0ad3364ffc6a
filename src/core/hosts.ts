// Which hosts a page may have come by: against DNS rebinding, where a page of the internet has its own name point to
// this machine. Asked by front/router.ts for terminals and by ops/admin.ts for everything; pure.

import { isIPv4 } from "node:net";
import type { Why } from "./errors.ts";
import { holdsHost, hostName, type HostList } from "./names.ts";

/**
 * Is this the host of a page from here? `localhost` and addresses are nobody else's name: what a browser shows for them
 * came from there. Other names are only as good as the list says.
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

/** `--allow-host` with the host of `--host` (or `--admin`): a name to bind is a name of this machine. */
export function hostsOf(allowHost: Iterable<string>, bound: string): HostList {
  const name = hostName(bound);
  return new Set(name === undefined ? allowHost : [...allowHost, name]);
}

/** What there is to say of a host that is not allowed. */
export function whyHost(host: string): Why {
  const expected = "localhost, an IP address, the host it is bound to, or one of --allow-host";
  return whyNot(`host ${host}`, expected, "--allow-host", hostName(host) ?? "");
}

const MAX_SEEN = 200;
// What a person can be asked to paste into a shell.
const PLAIN = /^[\w.+:/[\]-]+$/;

/** @param value of the option; left out when it is nothing to paste into a shell. */
export function whyNot(seen: string, expected: string, option: string, value: string): Why {
  const shown = seen.length > MAX_SEEN ? `${seen.slice(0, MAX_SEEN)}…` : seen;
  return {
    seen: shown,
    expected,
    option: PLAIN.test(value) && value.length <= MAX_SEEN ? `${option} ${value}` : option,
  };
}
