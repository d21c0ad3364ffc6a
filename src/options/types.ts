// Parsers of option values: each function turns text into a value, or throws an Error whose message says what is
// accepted. Used by table.ts and cli.ts; pure.

import { BlockList, isIP, isIPv6 } from "node:net";
import { hostName, originName } from "../core/names.ts";
import { parseMux, parseTarget, TARGET_FORMS, type Address, type MuxTarget, type Target } from "../core/target.ts";

/** Log format: JSON lines, or one sentence a line (`pretty`). `auto` is pretty on a terminal. */
export type LogFormat = "auto" | "json" | "pretty";
/** Log levels, from the fewest lines to the most; `silent` writes none. */
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** A whole number within bounds. */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new Error(`a whole number from ${min} to ${max}`);
    return value;
  };
}

const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
// setTimeout accepts 31 bits of milliseconds (24.8 days); a longer timer would fire at once.
const MAX_MS = 2_147_483_647;

/** A duration like `250ms`, `10s`, `2m`, or `0`; in milliseconds. */
export function duration(minMs = 0): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
    const value = text === "0" ? 0 : Number(match?.[1]) * (MILLISECONDS[match?.[2] ?? ""] ?? Number.NaN);
    if (!(value >= minMs && value <= MAX_MS)) {
      throw new Error(`a duration like 250ms, 10s or 2m${minMs > 0 ? `, at least ${minMs}ms` : ", or 0"}`);
    }
    return Math.round(value);
  };
}

const BYTES: Record<string, number> = { "": 1, k: 1024, m: 1024 * 1024 };

/** A size like `64k` or `1m`; in bytes. */
export function size(min: number, max: number): (text: string) => number {
  return (text) => {
    const match = /^(\d+)([km]?)$/i.exec(text);
    const value = Number(match?.[1]) * (BYTES[match?.[2]?.toLowerCase() ?? ""] ?? Number.NaN);
    if (!(value >= min && value <= max)) throw new Error(`a size like 64k or 1m, from ${min} to ${max} bytes`);
    return value;
  };
}

/** A process id, or `parent` for the parent process. */
export function parentPid(text: string): number {
  if (text === "parent") return process.ppid;
  try {
    return integer(1, 4_194_304)(text);
  } catch (error) {
    throw new Error(`${(error as Error).message}, or parent`, { cause: error });
  }
}

/** One of these words. */
export function oneOf(values: readonly string[]): (text: string) => string {
  return (text) => {
    if (!values.includes(text)) throw new Error(`one of ${values.join(", ")}`);
    return text;
  };
}

/** A switch that is on by default: `on` or `off`. */
export function onOff(text: string): boolean {
  if (text !== "on" && text !== "off") throw new Error("on or off");
  return text === "on";
}

/** An IP address to bind, or a host name. */
export function host(text: string): string {
  if (!/^[A-Za-z0-9._:%-]+$/.test(text) || (text.includes(":") && !isIP(text)))
    throw new Error("an address or a host name");
  return text;
}

/**
 * A value of `--allow-origin`: an origin, as `originName()` spells it, `https://*.example.org` for subdomains, or `*`.
 */
export function origin(text: string): string {
  const plain = text.replace("://*.", "://");
  const name = plain.includes("*") ? undefined : originName(plain);
  if (text !== "*" && name === undefined) {
    throw new Error("an origin like https://example.org:8443, https://*.example.org, null, file://, or *");
  }
  return text === "*" || name === undefined || plain === text ? (name ?? text) : name.replace("://", "://*.");
}

/** A value of `--allow-host`: a host, as `hostName()` spells it, `*.example.org` for subdomains, or `*`. */
export function allowedHost(text: string): string {
  const below = text.startsWith("*.") ? "*." : "";
  const host = text.slice(below.length);
  const name = isIPv6(host)
    ? hostName(`[${host}]`)
    : /:\d*$/.test(host) && !host.endsWith("]")
      ? undefined
      : hostName(host);
  if (text !== "*" && (name === undefined || name.includes("*") || name.startsWith("."))) {
    throw new Error("a host without a port like example.org, *.example.org, 192.0.2.7 or [2001:db8::1], or *");
  }
  return text === "*" ? text : `${below}${name}`;
}

/** A path for a request to an upstream. */
export function requestPath(text: string): string {
  if (!/^\/[\x21-\x7e]*$/.test(text)) throw new Error("a path like /healthz");
  return text;
}

const LOOPBACK = ["127.0.0.0/8", "::1/128"];

/** Networks in CIDR notation, `loopback` among them, or `none`. */
export function cidrs(text: string): BlockList {
  const list = new BlockList();
  const items = text === "none" ? [] : text.split(",").map((item) => item.trim());
  for (const item of items.flatMap((one) => (one === "loopback" ? LOOPBACK : one === "" ? [] : [one]))) {
    const [address = "", bits, ...rest] = item.split("/");
    // Not isIP(): the first use of its IPv6 pattern adds 3 ms to every start, and addSubnet() checks the address
    // anyway.
    const version = address.includes(":") ? 6 : 4;
    try {
      // Number("") is 0: without this check "10.0.0.1/" would mean the whole Internet.
      if (bits !== undefined && (!/^\d+$/.test(bits) || rest.length > 0)) throw new Error(bits);
      list.addSubnet(address, Number(bits ?? (version === 4 ? 32 : 128)), version === 4 ? "ipv4" : "ipv6");
    } catch {
      throw new Error("networks like 10.0.0.0/8,::1/128 with or without loopback, or none");
    }
  }
  return list;
}

/** The target of an upstream. */
export function target(text: string): Target {
  try {
    return parseTarget(text);
  } catch (error) {
    throw new Error(`${TARGET_FORMS} (${(error as Error).message})`, { cause: error });
  }
}

/** A value of `--mux`: a target, with or without the request path in front. */
export function mux(text: string): MuxTarget {
  try {
    return parseMux(text);
  } catch (error) {
    throw new Error(`[path=]target, where target is ${TARGET_FORMS} (${(error as Error).message})`, { cause: error });
  }
}

/** The address of `--admin`: a port on loopback (0 picks a free one), an address, or a unix socket. */
export function adminAddress(text: string): Address {
  try {
    const { address, path } = parseTarget(text, 0);
    if (path !== undefined) throw new Error("no path is wanted");
    return address;
  } catch (error) {
    throw new Error(`PORT, HOST:PORT or unix:PATH (${(error as Error).message})`, { cause: error });
  }
}
