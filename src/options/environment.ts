// Prepares the environment for the command line: HOST, the variables of agent-orchestrator's server (the "replaced
// server"), and warnings about misspelt names. Called by cli.ts.

import { isIP } from "node:net";
import { isOff, longOf } from "./options.ts";
import { declared, type Declared } from "./table.ts";

/** A message about the environment, for the log. */
export interface Notice {
  level: "info" | "warn";
  text: string;
}

/** The environment as it was read. */
export interface Environment {
  notices: Notice[];
  /** For variables that were filled from another one, the name of that one: `SINGLE_PORT_HOST` from `HOST`. */
  sources: ReadonlyMap<string, string>;
  /** Undoes the changes, so that child processes (--on-down) get the environment as it was given. */
  restore: () => void;
}

/** The default port of agent-orchestrator's mux. */
const REPLACED_MUX_PORT = "14801";

/**
 * Changes the environment into what the options read. Empty variables are removed, since supervisors' templates set
 * them for "unset". A switch is off for `0`, `false`, `no` and `off`.
 *
 * @param args the command line: with --http or --mux in it, this is no drop-in for the replaced server.
 */
export function readEnvironment(env: NodeJS.ProcessEnv, args: readonly string[]): Environment {
  const saved = { ...env };
  for (const { env: name, parse } of declared) {
    const value = env[name];
    if (value === "" || (!parse && isOff(value))) delete env[name];
  }
  const dropIn = env["NEXT_INTERNAL_PORT"] !== undefined && !args.some((one) => /^--(http|mux)(=|$)/.test(one));
  if (dropIn) env["DIRECT_TERMINAL_PORT"] ??= REPLACED_MUX_PORT;
  const notices = unread(env);
  const { HOST: host, SINGLE_PORT_HOST: own } = env;
  const sources = new Map<string, string>();
  if (own === undefined && host !== undefined && host !== "") {
    if (readsHost(host, dropIn)) {
      env["SINGLE_PORT_HOST"] = host;
      sources.set("SINGLE_PORT_HOST", "HOST");
    } else {
      const why = dropIn ? "as the replaced server does" : "since it is not an IP address or localhost";
      notices.push({
        level: "info",
        text: `environment HOST=${host} is ignored, ${why}; to set the listening address use --host or SINGLE_PORT_HOST`,
      });
    }
  }
  const restore = (): void => {
    for (const name of Object.keys(env)) if (!(name in saved)) delete env[name];
    Object.assign(env, saved);
  };
  return { notices, sources, restore };
}

/**
 * Is HOST used as the address to bind? By convention web servers read it, but tcsh and conda export it as the name of
 * the machine: binding that would expose a shell to the network, or fail. So only an address or `localhost` counts. A
 * drop-in ignores HOST, as the replaced server does.
 */
function readsHost(host: string, dropIn: boolean): boolean {
  return !dropIn && (isIP(host) > 0 || host === "localhost");
}

/** Variables that --on-down sets for its command, which may start another single-port. */
const OURS = new Set(["SINGLE_PORT_UPSTREAM", "SINGLE_PORT_TARGET"]);
/** Variables that Kubernetes sets in containers when there is a Service named `single-port`. */
const SERVICE = /^SINGLE_PORT_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

/** Warns about variables that look like an option's but are not read: without this a misspelling would go unnoticed. */
function unread(env: NodeJS.ProcessEnv): Notice[] {
  const known = declared.map((option) => option.env);
  const slips = Object.entries(env).flatMap(([name, value = ""]) => {
    if (known.includes(name) || OURS.has(name)) return [];
    if (SERVICE.test(name) && (name !== "SINGLE_PORT_PORT" || value.includes("://"))) return [];
    const isOurs = /^SINGLE[_-]?PORT[_-]/i.test(name);
    const near = nearest(name.toUpperCase(), known, isOurs);
    if (!isOurs && near === undefined) return [];
    return [near === undefined ? name : `${name} (did you mean ${near}?)`];
  });
  if (slips.length === 0) return [];
  return [{ level: "warn", text: `unknown environment variables are ignored: ${slips.join(", ")}` }];
}

/** A misspelt name differs by at most this many letters, and in a short name by at most half of them. */
const MAX_SLIPS = 2;

function slipsOf(name: string): number {
  return Math.min(MAX_SLIPS, Math.floor(name.replace(/^SINGLE_PORT_/, "").length / 2));
}

/** The variable that was probably meant: that of the option with this name, or one that is spelt nearly the same. */
function nearest(name: string, known: readonly string[], isOurs: boolean): string | undefined {
  const rest = name.replace(/^SINGLE[_-]?PORT[_-]/, "");
  const isOption = (option: Declared): boolean => rest === longOf(option).slice(2).toUpperCase().replaceAll("-", "_");
  const option = isOurs ? declared.find(isOption) : undefined;
  if (option) return option.env;
  if (!anyPart.test(name)) return undefined;
  const candidates = known.filter((one) => isDistinct(one) && partsOf(one).some((part) => name.includes(part)));
  const distances = candidates.map((one) => [distance(name, one), one] as const).sort(([a], [b]) => a - b);
  const [best] = distances;
  return best !== undefined && best[0] <= slipsOf(best[1]) ? best[1] : undefined;
}

/** Without the short names (PORT), which are near to too many others. */
function isDistinct(name: string): boolean {
  return name.length > 2 * MAX_SLIPS + 4;
}

/**
 * A name in parts: MAX_SLIPS slips leave one of MAX_SLIPS + 1 parts as it is. The distance to each option of each
 * variable of a usual environment would take as long as all else of the start.
 */
function partsOf(name: string): string[] {
  const length = Math.floor(name.length / (MAX_SLIPS + 1));
  const starts = Array.from({ length: MAX_SLIPS + 1 }, (_, part) => part * length);
  return starts.map((from, part) => name.slice(from, part === MAX_SLIPS ? name.length : from + length));
}

/** Is there any of these parts in a name? Hardly any variable has one. */
const anyPart = new RegExp(
  declared
    .map((option) => option.env)
    .filter(isDistinct)
    .flatMap(partsOf)
    .join("|"),
);

/** The edit distance (Levenshtein); Infinity when it is surely above MAX_SLIPS. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > MAX_SLIPS) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of a.split("").entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const changed = (row[j] ?? 0) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
