// The log. cli.ts makes one, proxy.ts passes outcomes to it; relay code never logs.
// Lines are written asynchronously, and flushed at the end. A closed stdout or a full disk never ends the process.

import type { Logger } from "pino";
import type { LogFormat } from "../options/types.ts";
import { LogSink, stdoutWriter, type WriteChunk } from "./log-sink.ts";
import { sentence } from "./log-words.ts";
import { load } from "../core/packages.ts";

const { pino } = load("pino") as typeof import("pino");

/** What a client chose itself may be as long as a head may be: 32 KiB in each line. */
const MAX_VALUE = 500;

function shortened(value: unknown): unknown {
  return typeof value === "string" && value.length > MAX_VALUE ? `${value.slice(0, MAX_VALUE)}…` : value;
}

/** Makes the log, on stdout unless told otherwise. `flush` resolves when it is written, or cannot be. */
export async function createLog(
  level: string,
  format: LogFormat,
  writeChunk: WriteChunk = stdoutWriter(),
): Promise<{ log: Logger; flush: () => Promise<void> }> {
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
    dress(`${JSON.stringify({ level: 40, time: Date.now(), lost, msg: "lines of the log could not be written" })}\n`);
  const sink = new LogSink(writeChunk, lostLine);
  const write = (line: string): void => sink.write(dress(line));
  const serializers = { path: shortened, ray: shortened };
  return { log: pino({ level, base: null, serializers }, { write }), flush: () => sink.flush() };
}

/** At most this many lines of a kind in a second; the rest become a count. */
const LINES_PER_SECOND = 10;

type Level = "info" | "warn" | "error" | "fatal";
type ReportDropped = (kind: string, dropped: number, level: Level) => void;

/** Bounds lines by kind: a storm of resets must not become a storm of lines. */
export class LineLimit {
  readonly #seen = new Map<string, { lines: number; level: Level }>();
  readonly #report: ReportDropped;
  #timer: NodeJS.Timeout | undefined;

  /** @param report is told after each second in which lines of a kind were left out. */
  constructor(report: ReportDropped) {
    this.#report = report;
  }

  /** May a line of this kind be written now? What is left out of it is counted at the same level. */
  allows(kind: string, level: Level = "info"): boolean {
    const seen = this.#seen.get(kind) ?? { lines: 0, level };
    seen.lines += 1;
    this.#seen.set(kind, seen);
    this.#timer ??= setTimeout(() => this.flush(), 1000).unref();
    return seen.lines <= LINES_PER_SECOND;
  }

  /** Reports what was left out so far, and begins anew. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [kind, { lines, level }] of this.#seen) {
      if (lines > LINES_PER_SECOND) this.#report(kind, lines - LINES_PER_SECOND, level);
    }
    this.#seen.clear();
  }
}
