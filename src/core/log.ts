// The log (SPEC 8.1). daemon.ts makes one and passes outcomes to it; relay code never logs.
// Lines are written by pino, asynchronously, and flushed at the end. A closed stdout never ends the process.

import { pino, type DestinationStream, type Logger } from "pino";
import type { Outcome } from "./outcome.ts";

/** How the log looks: JSON lines, or pretty where a person reads (`auto`: on a terminal). */
export type LogFormat = "auto" | "json" | "pretty";
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** Makes the log on stdout, or on `destination`. */
export async function createLog(
  level: string,
  format: LogFormat,
  destination?: DestinationStream,
): Promise<{ log: Logger; flush: () => void }> {
  const options = { level, base: null };
  if (destination) return { log: pino(options, destination), flush: () => {} };
  // A write to a pipe nobody reads any more raises EPIPE here, and only here.
  process.stdout.on("error", () => {});
  if (format === "pretty" || (format === "auto" && process.stdout.isTTY)) {
    const { default: pretty } = await import("pino-pretty");
    const stream = pretty({ colorize: process.stdout.isTTY, ignore: "pid,hostname", sync: true });
    return { log: pino(options, stream), flush: () => {} };
  }
  const stdout = pino.destination({ fd: 1, sync: false });
  stdout.on("error", () => {});
  return {
    log: pino(options, stdout),
    flush: () => {
      try {
        stdout.flushSync();
      } catch {
        // Closed, or never opened: there is nobody to tell.
      }
    },
  };
}

/** Did this exchange end as it should? Others get a line at info (SPEC 8.1). */
export function endedWell(outcome: Outcome): boolean {
  if (outcome.kind === "tunnel") return outcome.how === "fin" || outcome.how === "drain";
  return outcome.how === "done" || (outcome.by === "client" && outcome.how === "fin");
}

/** At most this many lines of a kind in a second; then a count (SPEC 8.1). */
const LINES_PER_SECOND = 10;

/** Bounds lines by kind: a storm of resets must not become a storm of lines. */
export class LineLimit {
  readonly #seen = new Map<string, number>();
  readonly #report: (kind: string, dropped: number) => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param report is told after each second in which lines of a kind were left out. */
  constructor(report: (kind: string, dropped: number) => void) {
    this.#report = report;
  }

  /** May a line of this kind be written now? */
  allows(kind: string): boolean {
    const seen = (this.#seen.get(kind) ?? 0) + 1;
    this.#seen.set(kind, seen);
    this.#timer ??= setTimeout(() => this.flush(), 1000).unref();
    return seen <= LINES_PER_SECOND;
  }

  /** Reports what was left out so far, and begins anew. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [kind, seen] of this.#seen) {
      if (seen > LINES_PER_SECOND) this.#report(kind, seen - LINES_PER_SECOND);
    }
    this.#seen.clear();
  }
}
