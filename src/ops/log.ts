// Makes the log. cli.ts makes one, proxy/ writes outcomes to it; exchange and tunnel never log.
// Lines are written asynchronously, and flushed at exit. A closed stdout or a full disk never ends the process.

import type { Logger } from "pino";
import type { LogFormat } from "../options/types.ts";
import { LateLog } from "./late-log.ts";
import { LogSink, stdoutWriter, type WriteChunk } from "./log-sink.ts";
import { sentence } from "./log-words.ts";
import { load } from "../core/packages.ts";

/** Values that a client chose are cut to this length: without it, a path could make each line 32 KiB long. */
const MAX_VALUE = 500;

function shortened(value: unknown): unknown {
  return typeof value === "string" && value.length > MAX_VALUE ? `${value.slice(0, MAX_VALUE)}…` : value;
}

/** Makes the log. `flush` resolves when all lines are written, or could not be. */
export async function createLog(
  level: string,
  format: LogFormat,
  writeChunk: WriteChunk = stdoutWriter(),
): Promise<{ log: LateLog; flush: () => Promise<void> }> {
  let dress = (line: string): string => line;
  if (format === "pretty" || (format === "auto" && process.stdout.isTTY)) {
    const { prettyFactory } = load("pino-pretty") as typeof import("pino-pretty");
    const pretty = prettyFactory({
      colorize: process.stdout.isTTY && !process.env["NO_COLOR"],
      translateTime: "SYS:HH:MM:ss.l",
      hideObject: true,
      messageFormat: sentence,
    });
    dress = (line) => pretty(JSON.parse(line));
  }
  const lostLine = (lost: number): string =>
    dress(
      `${JSON.stringify({ level: 40, time: Date.now(), lost, msg: "log lines were lost: stdout could not be written" })}\n`,
    );
  const sink = new LogSink(writeChunk, lostLine);
  const write = (line: string): void => sink.write(dress(line));
  const serializers = { path: shortened, ray: shortened };
  const make = (): Logger => {
    const { pino } = load("pino") as typeof import("pino");
    return pino({ level, base: null, serializers }, { write });
  };
  return { log: new LateLog(level, make, write), flush: () => sink.flush() };
}

/** At most this many lines of a kind are written in a second; the rest are counted. */
const LINES_PER_SECOND = 10;

type Level = "info" | "warn" | "error" | "fatal";
type ReportDropped = (kind: string, dropped: number, level: Level) => void;

/** Limits lines by kind, so that thousands of resets do not become thousands of lines. */
export class LineLimit {
  readonly #seen = new Map<string, { lines: number; level: Level }>();
  readonly #report: ReportDropped;
  #timer: NodeJS.Timeout | undefined;

  /** @param report called after each second in which lines of a kind were left out. */
  constructor(report: ReportDropped) {
    this.#report = report;
  }

  /** May a line of this kind be written now? If not, it is counted; the count is reported at the same level. */
  allows(kind: string, level: Level = "info"): boolean {
    const seen = this.#seen.get(kind) ?? { lines: 0, level };
    seen.lines += 1;
    this.#seen.set(kind, seen);
    this.#timer ??= setTimeout(() => this.flush(), 1000).unref();
    return seen.lines <= LINES_PER_SECOND;
  }

  /** Reports the counts so far, and resets them. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [kind, { lines, level }] of this.#seen) {
      if (lines > LINES_PER_SECOND) this.#report(kind, lines - LINES_PER_SECOND, level);
    }
    this.#seen.clear();
  }
}
