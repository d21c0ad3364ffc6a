// A log whose pino is loaded later: to load it takes as long as all else that comes before the port is bound.
// Made by log.ts. Until pino is there, a line that is nothing but a text is written here; any other line loads it.

import type { Logger } from "pino";

/** As pino counts them. */
const NUMBERS = { debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;

type Level = keyof typeof NUMBERS;
type Line = [facts: object, text?: string] | [text: string];

/** What lines are written with. A pino logger is one. */
export type Log = Record<Level, (...line: Line) => void> & { child(facts: object): Log };

/** The log of the command line. */
export class LateLog implements Log {
  readonly #level: string;
  readonly #least: number;
  readonly #make: () => Logger;
  readonly #write: ((line: string) => void) | undefined;
  #pino: Logger | undefined;

  /**
   * @param level below it nothing is written.
   * @param make loads pino, and makes the logger.
   * @param write takes a line that needs no pino; without it, every line does.
   */
  constructor(level: string, make: () => Logger, write?: (line: string) => void) {
    this.#level = level;
    this.#least = level === "trace" ? 0 : (NUMBERS[level as Level] ?? Infinity);
    this.#make = make;
    this.#write = write;
  }

  debug(...line: Line): void {
    this.#say("debug", line);
  }

  info(...line: Line): void {
    this.#say("info", line);
  }

  warn(...line: Line): void {
    this.#say("warn", line);
  }

  error(...line: Line): void {
    this.#say("error", line);
  }

  fatal(...line: Line): void {
    this.#say("fatal", line);
  }

  /** A log that adds these facts to each line. */
  child(facts: object): Log {
    return new LateLog(this.#level, () => this.load().child(facts));
  }

  /** Loads pino, before a line needs it: there may be no descriptor then to read its files with. */
  load(): Logger {
    return (this.#pino ??= this.#make());
  }

  #say(level: Level, line: Line): void {
    const number = NUMBERS[level];
    if (number < this.#least) return;
    const [text] = line;
    if (this.#pino || !this.#write || typeof text !== "string") this.load()[level](...(line as [object, string?]));
    else this.#write(`${JSON.stringify({ level: number, time: Date.now(), msg: text })}\n`);
  }
}
