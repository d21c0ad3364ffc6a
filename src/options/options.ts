// Turns flags, environment variables or a program's settings into checked options. Called by cli.ts and index.ts; all
// other modules get plain values. Each option is declared in table.ts.

import type { BlockList } from "node:net";
import type { Option } from "commander";
import { load } from "../core/packages.ts";
import { declared, type Declared } from "./table.ts";
import type { Settings } from "./settings.ts";
import type { LogFormat } from "./types.ts";
import { hostPort, isSameAddress, TARGET_FORMS, type Address, type MuxTarget, type Target } from "../core/target.ts";

const commander = load("commander") as typeof import("commander");

/** The options of a running proxy. Durations are milliseconds, sizes bytes. */
export interface Options {
  port: number;
  host: string;
  http: Target;
  mux: MuxTarget[];
  trustProxy: BlockList;
  forwarded: boolean;
  via: boolean;
  allowOrigin: string[];
  /** In the spelling that `holdsHost()` of core/names.ts compares. */
  allowHost: string[];
  maxHeaderSize: number;
  maxConnections: number;
  maxTunnels: number;
  maxHeld: number;
  hold: number;
  replayBuffer: number;
  recycle: number;
  connectTimeout: number;
  headersTimeout: number;
  requestTimeout: number;
  responseTimeout: number;
  handshakeTimeout: number;
  bodyTimeout: number;
  clientKeepAlive: number;
  probeInterval: number;
  httpProbe: string | undefined;
  onDown: string | undefined;
  tcpKeepAlive: number;
  stallTimeout: number;
  pingInterval: number;
  pingTimeout: number;
  drain: number;
  bindRetry: number;
  takeover: boolean;
  parentPid: number | undefined;
  admin: Address | undefined;
  logLevel: string;
  logFormat: LogFormat;
  accessLog: boolean;
}

/** A value is not accepted. The message says the option, what was given and what is accepted. Exit code 64. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "ERR_SINGLE_PORT_USAGE";
}

/** An option for commander. Errors name the option, what was given and what is accepted. */
function toCommander(option: Declared): Option {
  const made = new commander.Option(option.flags, option.text).env(option.env).helpGroup(option.group);
  const { parse } = option;
  if (!parse) return made;
  const checked = (text: string): unknown => {
    try {
      return parse(text);
    } catch (error) {
      // Commander puts "option '--hold <time>' argument 'x' is invalid." in front.
      throw new commander.InvalidArgumentError(`Accepted: ${(error as Error).message}.`);
    }
  };
  if (option.default !== undefined) made.default(checked(option.default), option.default);
  made.argParser((text: string, previous: unknown) =>
    option.repeatable ? [...((previous ?? []) as unknown[]), ...text.split(",").map(checked)] : checked(text),
  );
  return made;
}

/** Does this text turn a switch off? */
export function isOff(text: string | undefined): boolean {
  return /^(0|false|no|off)?$/i.test(text ?? "");
}

/** The options of `single-port [options]`, for commander. */
export function commanderOptions(): Option[] {
  return declared.map(toCommander);
}

/**
 * The README's option table, with a row for each group. `npm run docs` writes it there, and a test compares the two.
 */
export function optionTable(): string {
  const rows = declared.flatMap((option, index) => {
    const { flags, env, default: value, parse, text, group } = option;
    const without = nameOf(option) === "http" ? "required" : parse ? "none" : "off";
    const shown = value === undefined ? without : `\`${value}\``;
    const cells = [`\`${flags}\``, `\`${env}\``, shown, text].map((cell) => cell.replaceAll("|", "\\|"));
    const row = `| ${cells.join(" | ")} |`;
    return group === declared[index - 1]?.group ? [row] : [`| **${group.replace(/:$/, "")}** | | | |`, row];
  });
  return ["| option | environment | default | meaning |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

/** Parsed values by the name in `Options`. */
type Given = Partial<Record<keyof Options, unknown>>;

/**
 * Fills in defaults and checks options against each other.
 *
 * @throws {UsageError}
 */
export function completeOptions(given: Given): Options {
  if (given.http === undefined) {
    throw new UsageError(`option '--http <target>' (or NEXT_INTERNAL_PORT) is required. Accepted: ${TARGET_FORMS}.`);
  }
  const options = {
    mux: [],
    allowOrigin: [],
    allowHost: [],
    accessLog: false,
    takeover: false,
    ...given,
  } as unknown as Options;
  checkAddresses(options);
  const http = options.http.path;
  if (http !== undefined) {
    throw new UsageError(
      `option '--http' has the path ${http}. Accepted: an address only; paths are forwarded as sent.`,
    );
  }
  const paths = options.mux.flatMap((one) => one.paths);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) {
    throw new UsageError(
      `option '--mux' gives the public path ${twice} to two muxes. Accepted: one mux for each path, as in --mux /term=14801/mux.`,
    );
  }
  return options;
}

/**
 * The options of a program: parsed and checked like those of the command line, without the environment.
 *
 * @throws {UsageError}
 */
export function optionsFrom(settings: Settings): Options {
  const given: Record<string, unknown> = {};
  const names = new Set(declared.map(nameOf));
  for (const name of Object.keys(settings)) {
    if (!names.has(name)) throw new UsageError(`there is no option '${name}'. Accepted: ${[...names].join(", ")}.`);
  }
  for (const option of declared) {
    const name = nameOf(option);
    const value = (settings as Partial<Settings>)[name as keyof Settings] ?? option.default;
    if (value === undefined) continue;
    const read = (one: unknown): unknown => {
      try {
        return readSetting(option, one);
      } catch (error) {
        throw new UsageError(`option '${name}' is '${String(one)}'. Accepted: ${(error as Error).message}.`, {
          cause: error,
        });
      }
    };
    given[name] = option.repeatable ? [value].flat().map(read) : read(value);
  }
  return completeOptions(given);
}

/**
 * Parses a program's value: text as on the command line, or a number (milliseconds for a duration, bytes for a size).
 */
function readSetting({ flags, parse }: Declared, value: unknown): unknown {
  if (!parse) return !isOff(String(value));
  if (typeof value === "boolean" && flags.endsWith("<on|off>")) return value;
  if (typeof value !== "string" && typeof value !== "number") throw new Error("text or a number");
  return parse(typeof value === "number" && flags.endsWith("<time>") ? `${value}ms` : String(value));
}

/** The long flag of an option: `--port` from `-p, --port <n>`. */
export function longOf({ flags }: Declared): string {
  return /--[a-z-]+/.exec(flags)?.[0] ?? "";
}

/** The name of an option in `Options` and `Settings`: `maxHeld` from `--max-held <n>`. */
export function nameOf(option: Declared): string {
  return longOf(option)
    .slice(2)
    .replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Checks that the public address, that of --admin, and those of the upstreams differ. */
function checkAddresses({ http, mux, admin, host, port }: Options): void {
  if (admin && isSameAddress(admin, { host, port })) {
    throw new UsageError(
      `option '--admin' is ${hostPort(host, port)}, the address this proxy listens on. Accepted: another host or port.`,
    );
  }
  const targets: [string, Target][] = [["--http", http]];
  for (const { target } of mux) targets.push(["--mux", target]);
  for (const [flag, { address, label }] of targets) {
    if (isSameAddress(address, { host, port })) {
      throw new UsageError(
        `option '${flag}' is ${label}, the address this proxy listens on. Accepted: another host or port.`,
      );
    }
    // If both were allowed, the proxy would serve the admin pages to all its clients.
    if (admin && isSameAddress(address, admin)) {
      throw new UsageError(`option '${flag}' is ${label}, and so is --admin. Accepted: an address for each.`);
    }
  }
}
