// Writes log lines to stdout without ever blocking. Made by log.ts.
// Not pino's own destination: its last flush blocks for ever when the disk is full, and a write that hangs in a thread
// (to a pipe that is not read) keeps the process from exiting.

import { fstatSync, write } from "node:fs";

/** Writes a chunk; `done` gets the error, or the number of bytes written. Called for one chunk at a time. */
export type WriteChunk = (
  chunk: Buffer,
  done: (error: NodeJS.ErrnoException | undefined, written: number) => void,
) => void;

/** Limit of buffered lines, in characters, while stdout is not read. Further lines are dropped and counted. */
const MAX_WAITING = 4 * 1024 * 1024;
/** How long flush() waits at exit, in milliseconds. */
const FLUSH_MS = 500;
const RETRY_MS = 100;

/** Writes to stdout: to a file in a thread; to a pipe, socket or terminal by the event loop, where a write may hang. */
export function stdoutWriter(): WriteChunk {
  // A write to a pipe that was closed also emits EPIPE here.
  process.stdout.on("error", () => {});
  if (isFile()) return (chunk, done) => write(1, chunk, (error, written) => done(error ?? undefined, written));
  // Node writes to a terminal synchronously, so Ctrl-S would stop the whole proxy: make it asynchronous.
  if (process.stdout.isTTY) {
    (process.stdout as unknown as { _handle?: { setBlocking?(on: boolean): void } })._handle?.setBlocking?.(false);
  }
  return (chunk, done) =>
    void process.stdout.write(chunk, (error) => done(error ?? undefined, error ? 0 : chunk.length));
}

/** Is stdout a file, or a device like /dev/null? Those are always ready for poll(2). */
function isFile(): boolean {
  if (process.stdout.isTTY) return false;
  try {
    const stat = fstatSync(1);
    return stat.isFile() || stat.isCharacterDevice();
  } catch {
    return false;
  }
}

/** Buffers lines and writes them in order, a chunk at a time. Lines that cannot be written are dropped and counted. */
export class LogSink {
  readonly #writeChunk: WriteChunk;
  readonly #lostLine: (lost: number) => string;
  #waiting = "";
  #lost = 0;
  #busy = false;
  #planned = false;
  /** Did the last write end in the middle of a line? */
  #torn = false;
  #idle: (() => void)[] = [];

  /** @param lostLine makes the log line that says how many lines were lost. */
  constructor(writeChunk: WriteChunk, lostLine: (lost: number) => string) {
    this.#writeChunk = writeChunk;
    this.#lostLine = lostLine;
  }

  /** Takes a line; called by pino. Lines of one turn of the event loop are written together. */
  write(line: string): void {
    if (this.#waiting.length + line.length > MAX_WAITING) {
      this.#lost += 1;
      return;
    }
    this.#waiting += line;
    if (this.#planned || this.#busy) return;
    this.#planned = true;
    setImmediate(() => this.#next());
  }

  /** Resolves when everything is written, or after half a second. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, FLUSH_MS);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
      if (!this.#busy) this.#next();
    });
  }

  #next(): void {
    this.#planned = false;
    if (this.#busy) return;
    if (this.#waiting === "") {
      for (const idle of this.#idle.splice(0)) idle();
      return;
    }
    const said = this.#lost;
    const notice = said > 0 ? `${this.#torn ? "\n" : ""}${this.#lostLine(said)}` : "";
    const chunk = Buffer.from(notice + this.#waiting);
    this.#waiting = "";
    this.#busy = true;
    this.#send(chunk, (rest) => {
      this.#busy = false;
      this.#torn =
        rest !== undefined && rest.length < chunk.length && chunk[chunk.length - rest.length - 1] !== NEWLINE;
      // A line that was written in part counts as lost, too.
      if (rest) this.#lost += countLines(rest) - (notice !== "" && rest.length === chunk.length ? 1 : 0);
      if (said > 0 && rest?.length !== chunk.length) this.#lost -= said;
      this.#next();
    });
  }

  /** Writes all of a chunk; calls `over` with the bytes that could not be written, if any. */
  #send(chunk: Buffer, over: (rest: Buffer | undefined) => void): void {
    this.#writeChunk(chunk, (error, written) => {
      if (error?.code === "EAGAIN") setTimeout(() => this.#send(chunk, over), RETRY_MS);
      else if (error) over(chunk);
      else if (written < chunk.length) this.#send(chunk.subarray(written), over);
      else over(undefined);
    });
  }
}

const NEWLINE = 10;

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}
