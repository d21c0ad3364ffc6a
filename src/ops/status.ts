// `single-port status`: asks the running proxy over its control socket and prints its report. Called by cli.ts.

import { askControl, findControl, findControls, followControl } from "./control.ts";
import type { Report, Second } from "./report.ts";
import { statusLines, type Look } from "./status-text.ts";

/** The command line of `single-port status`. */
export interface StatusOptions {
  port?: number;
  json?: boolean;
  watch?: boolean;
}

/** Prints one line on stderr and exits. */
type Fail = (code: number, line: string) => never;

/** Returns the process that listens on a port, in words; undefined when none does. */
type WhoListens = (port: number) => Promise<string | undefined>;

// sysexits.h.
const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;

const RETRY_MS = 1000;
const KEPT_SECONDS = 120;
/** Keys that end --watch: q, Escape, and Ctrl-C and Ctrl-D, which a terminal in raw mode sends as bytes. */
const LEAVE = new Set(["q", "Q", "\x1b", "\x03", "\x04"]);

/** Prints the status once; with --watch each second, until the user leaves. */
export async function status(options: StatusOptions, fail: Fail, whoListens: WhoListens): Promise<void> {
  const path = await find(options.port, fail, whoListens);
  const first = await askControl(path, "GET", "/status");
  if (first?.status !== 200) return fail(EXIT_UNAVAILABLE, "single-port exited while it was asked.");
  // `status | head` closes stdout early, which is no failure.
  process.stdout.on("error", () => process.exit(0));
  if (options.watch) return watch(path, options.json ?? false);
  if (options.json) return void process.stdout.write(first.body);
  const seconds = await pastSeconds(path);
  const lines = statusLines(JSON.parse(first.body) as Report, seconds, { ...look(), rows: undefined });
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** The seconds so far: the first event of /events. */
function pastSeconds(path: string): Promise<Second[]> {
  return new Promise((resolve) => {
    const stop = followControl(path, {
      event: (name, data) => {
        stop();
        resolve(name === "seconds" ? (JSON.parse(data) as Second[]) : []);
      },
      lost: () => resolve([]),
    });
  });
}

/** The control socket of the instance on this port; without a port, that of the only instance that runs. */
async function find(port: number | undefined, fail: Fail, whoListens: WhoListens): Promise<string> {
  if (port !== undefined) {
    const path = await findControl(port);
    if (path !== undefined) return path;
    const who = await whoListens(port);
    const line = who
      ? `no control socket of this user answers for port ${port}, though ${who} listens there.`
      : `no single-port of this user runs on port ${port}: nothing listens there.`;
    return fail(EXIT_UNAVAILABLE, line);
  }
  const found = await findControls();
  const [only] = found.values();
  if (only === undefined)
    return fail(EXIT_UNAVAILABLE, "no single-port of this user is running: none answers on a control socket.");
  if (found.size === 1) return only;
  const list = [...found.keys()].sort((a, b) => a - b).join(", ");
  return fail(EXIT_USAGE, `several single-ports are running; choose one with --port: ${list}.`);
}

function look(): Look {
  const { columns, rows, isTTY } = process.stdout;
  // One column less: "erase to the end of the line" behind a full line would erase its last character.
  const wide = isTTY ? Math.max(40, columns - 1) : 100;
  return { columns: wide, rows: isTTY ? rows : undefined, color: isTTY && !process.env["NO_COLOR"] };
}

/** Follows /events, and connects again when the proxy comes back. */
function watch(path: string, json: boolean): void {
  const screen = json || !process.stdout.isTTY ? undefined : openScreen();
  const seconds: Second[] = [];
  let last: Report | undefined;
  let lostAt: number | undefined;
  const draw = (): void => {
    if (!last || !screen) return;
    const how = look();
    const lines = statusLines(last, seconds, { ...how, rows: (how.rows ?? 24) - 2 });
    const gone = lostAt === undefined ? undefined : Math.round((Date.now() - lostAt) / 1000);
    screen.show(
      lines,
      gone === undefined ? undefined : `not running for ${gone}s; waiting for it. These are its last figures.`,
    );
  };
  const print = (body: string): void => {
    if (json) process.stdout.write(`${body}\n`);
    else if (!screen && last) process.stdout.write(`${statusLines(last, seconds, look()).join("\n")}\n\n`);
  };
  const follow = (): void => {
    followControl(path, {
      event: (name, data) => {
        if (name === "seconds") {
          seconds.splice(0, seconds.length, ...(JSON.parse(data) as Second[]).slice(-KEPT_SECONDS));
          return;
        }
        last = JSON.parse(data) as Report;
        lostAt = undefined;
        if (last.lastSecond && last.lastSecond.at !== seconds.at(-1)?.at) seconds.push(last.lastSecond);
        if (seconds.length > KEPT_SECONDS) seconds.shift();
        print(data);
        draw();
      },
      lost: () => {
        if (lostAt === undefined && !screen) process.stderr.write("single-port: not running; waiting for it.\n");
        lostAt ??= Date.now();
        draw();
        setTimeout(follow, RETRY_MS);
      },
    });
  };
  process.stdout.on("resize", draw);
  follow();
}

/** Switches the terminal to its alternate screen; switches back however the process ends. */
function openScreen(): { show(lines: string[], warning: string | undefined): void } {
  const { stdin, stdout } = process;
  // Alternate screen on, cursor off, line wrap off.
  stdout.write("\x1b[?1049h\x1b[?25l\x1b[?7l");
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    if (stdin.isTTY) stdin.setRawMode(false);
    stdout.write("\x1b[?7h\x1b[?25h\x1b[?1049l");
  };
  process.on("exit", close);
  // Before node prints the stack, which would vanish with the alternate screen.
  process.on("uncaughtExceptionMonitor", close);
  // Raw mode, so that typed keys are not echoed into the table. Ctrl-C then comes as a byte, not as a signal.
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on("data", (keys: Buffer) => {
      if (LEAVE.has(keys.toString())) process.exit(0);
    });
  }
  process.on("SIGINT", () => process.exit(0));
  process.on("SIGTERM", () => process.exit(143));
  process.on("SIGHUP", () => process.exit(129));
  return {
    show: (lines, warning) => {
      const foot =
        warning === undefined ? "\x1b[2mevery second; q or Ctrl-C to leave\x1b[0m" : `\x1b[7m ${warning} \x1b[0m`;
      // Overwrites line by line: clearing the screen first would flicker.
      const text = [...lines, "", foot].map((line) => `${line}\x1b[K`).join("\r\n");
      stdout.write(`\x1b[?2026h\x1b[H${text}\x1b[J\x1b[?2026l`);
    },
  };
}
