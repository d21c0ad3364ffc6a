// Reads the usual command line: options of the proxy in their long form, and the environment. Called by cli.ts. All
// else, a mistake too, is for commander (command-line.ts), whose loading is a fifth of the time to start. Pure.

import { completeOptions, longOf, nameOf, type Options } from "./options.ts";
import { declared, type Declared } from "./table.ts";

/** What the command line asks for. */
export interface Usual {
  options: Options;
  /** The variable of each option whose value came from the environment, by its long flag. */
  fromEnv: ReadonlyMap<string, string>;
}

const byFlag = new Map(declared.map((option) => [longOf(option), option]));

/**
 * The options that commander would find in the same words and variables. Undefined where it may find anything else:
 * words that are no long option with its value, or a value that is not accepted.
 */
export function readUsual(args: readonly string[], env: NodeJS.ProcessEnv): Usual | undefined {
  const texts = textsOf(args);
  if (!texts) return undefined;
  const fromEnv = new Map<string, string>();
  const given: Record<string, unknown> = {};
  try {
    for (const [flag, option] of byFlag) {
      const variable = env[option.env];
      const words = texts.get(option);
      if (!words && variable !== undefined) fromEnv.set(flag, option.env);
      const all = words ?? [variable ?? option.default].filter((text) => text !== undefined);
      if (all.length === 0) continue;
      const value = read(option, all);
      if (value === undefined) return undefined;
      given[nameOf(option)] = value;
    }
    return { options: completeOptions(given), fromEnv };
  } catch {
    // Commander reads the same again, and says what is wrong with it.
    return undefined;
  }
}

/** The texts that the command line gives for each option; undefined when it has other words. */
function textsOf(args: readonly string[]): Map<Declared, string[]> | undefined {
  const texts = new Map<Declared, string[]>();
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? "";
    const equals = word.indexOf("=");
    const option = byFlag.get(equals < 0 ? word : word.slice(0, equals));
    if (!option || (equals >= 0 && !option.parse)) return undefined;
    const text = equals >= 0 ? word.slice(equals + 1) : option.parse ? args[(at += 1)] : "";
    if (text === undefined) return undefined;
    texts.set(option, [...(texts.get(option) ?? []), text]);
  }
  return texts;
}

/** Parses the texts of one option. All are parsed, also where only the last counts: none may be wrong. */
function read({ parse, repeatable }: Declared, texts: readonly string[]): unknown {
  if (!parse) return true;
  return repeatable
    ? texts.flatMap((text) => text.split(",")).map((text) => parse(text))
    : texts.map((text) => parse(text)).at(-1);
}
