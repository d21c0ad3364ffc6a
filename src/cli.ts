// Runs the proxy as a process, with its exit codes. Entry point of bin/single-port.js; command-line.ts parses the
// command line.

import { runCommand } from "./command-line.ts";
import { createLog, LineLimit } from "./ops/log.ts";
import { logDropped, Proxy } from "./proxy/proxy.ts";
import type { Demo } from "./demo/demo.ts";
import { CannotListen } from "./life/bind.ts";
import { notifyReady, notifyStopping } from "./life/notify.ts";
import { keepDebuggerShut } from "./life/signals.ts";
import { installStop } from "./life/stop.ts";
import { readEnvironment } from "./options/environment.ts";
import type { Options } from "./options/options.ts";

// Exit codes of sysexits.h. Supervisors can be told not to restart after 78 (RestartPreventExitStatus).
const EXIT_NOPERM = 77;
const EXIT_CONFIG = 78;

const environment = readEnvironment(process.env, process.argv.slice(2));
/** The variable of each option whose value came from the environment, by its flag. Empty until that is known. */
let fromEnv: ReadonlyMap<string, string> = new Map();

/** Prints one line on stderr and exits. Control characters, which a given value may hold, become spaces. */
function fail(code: number, line: string): never {
  process.stderr.write(`single-port: ${withSources(line).replaceAll(/\p{Cc}+/gu, " ")}\n`);
  process.exit(code);
}

/** Adds, to each option that the line names, the environment variable that its value came from. */
function withSources(line: string): string {
  const variable = (name: string): string => environment.sources.get(name) ?? name;
  return line
    .replace(/ from env '(\w+)'/, (_, name: string) => ` from environment ${variable(name)}`)
    .replaceAll(/option '(--[a-z-]+)'/g, (named, flag: string) => {
      const name = fromEnv.get(flag);
      return name === undefined ? named : `${named} (from environment ${variable(name)})`;
    });
}

/** The command line is read: from now on errors say which option the environment gave, and it is as it was given. */
function begins(read: ReadonlyMap<string, string>): void {
  fromEnv = read;
  environment.restore();
}

/** Runs the proxy. With `demo`, its upstreams are those of the demo, and closed after the proxy. */
async function run(options: Options, demo?: Demo): Promise<void> {
  const { log, flush } = await createLog(options.logLevel, options.logFormat);
  for (const { level, text } of environment.notices) log[level](text);
  const lines = new LineLimit((...dropped) => logDropped(log, ...dropped));
  let stop: (reason: string) => void = () => {};
  const proxy = new Proxy(options, log, { lines, control: true, stop: (reason) => stop(reason) });
  let stopping = false;
  const close = async (): Promise<void> => {
    stopping = true;
    notifyStopping();
    await proxy.close();
    await demo?.close();
  };
  // Before the port is bound: a signal may come while the proxy waits for the port.
  stop = installStop({ log, lines, flush, close, onUncaught: () => proxy.metrics.uncaught() }, options.parentPid);
  try {
    await proxy.start();
    if (demo) log.info(demo.greeting(options.host, proxy.address.port, proxy.adminUrl));
    if (!stopping) notifyReady();
    // Behind the line that says so.
    setImmediate(() => log.load());
  } catch (error) {
    if (stopping) return;
    await flush();
    // Any other error is a bug (life/stop.ts).
    if (!(error instanceof CannotListen)) throw error;
    fail(error.denied ? EXIT_NOPERM : EXIT_CONFIG, error.message);
  }
}

async function main(): Promise<void> {
  keepDebuggerShut();
  await runCommand({ environment, run, fail, begins });
}

// An error that main() throws is a bug (life/stop.ts).
void main();
