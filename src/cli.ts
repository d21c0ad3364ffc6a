// The command line: options, subcommands, exit codes. Entry point of bin/single-port.js.

import type { Command, CommanderError } from "commander";
import { createLog, LineLimit } from "./ops/log.ts";
import { load } from "./core/packages.ts";
import { logDropped, Proxy, VERSION } from "./proxy/proxy.ts";
import type { Demo } from "./demo/demo.ts";
import { CannotListen } from "./life/bind.ts";
import { notifyReady, notifyStopping } from "./life/notify.ts";
import { keepDebuggerShut } from "./life/signals.ts";
import { installStop } from "./life/stop.ts";
import { integer } from "./options/types.ts";
import type { StatusOptions } from "./ops/status.ts";
import { readEnvironment } from "./options/environment.ts";
import { commanderOptions, completeOptions, UsageError, type Options } from "./options/options.ts";

const commander = load("commander") as typeof import("commander");

// Exit codes of sysexits.h. Supervisors can be told not to restart after 78 (RestartPreventExitStatus).
const EXIT_USAGE = 64;
const EXIT_NOPERM = 77;
const EXIT_CONFIG = 78;

const environment = readEnvironment(process.env, process.argv.slice(2));
/** The command that runs; undefined while the command line is parsed. */
let running: Command | undefined;

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
      const option = declared.find(({ long }) => long === flag);
      const isSet = option?.envVar && running?.getOptionValueSource(option.attributeName()) === "env";
      return isSet ? `${named} (from environment ${variable(option.envVar ?? "")})` : named;
    });
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

/** Commander's message as one line, with what was given and what is accepted. */
function usageLine(error: CommanderError): string {
  // The second code is for `help nonsense`.
  if (error.code === "commander.excessArguments" || error.code === "commander.help") {
    return `there is no command '${program.args.join(" ").replace(/^help /, "")}'. Accepted: options and commands as in --help.`;
  }
  const said = error.message.replace(/^error: /, "");
  if (said.includes("Accepted: ")) return said;
  const command = program.commands.find((one) => one.name() === process.argv[2])?.name();
  if (command === undefined) return `${said}. Accepted: options and commands as in --help.`;
  return `${command}: ${said}. Accepted: options as in single-port ${command} --help.`;
}

function portOf(text: string): number {
  try {
    return integer(1, 65535)(text);
  } catch (error) {
    throw new commander.InvalidArgumentError(`Accepted: ${(error as Error).message}.`);
  }
}

// Made once and shared by all commands: making an option parses its default.
const declared = commanderOptions();

function addOptions(command: Command, without: string[] = []): Command {
  for (const option of declared) {
    if (!without.includes(option.attributeName())) command.addOption(option);
  }
  return command;
}

const program = addOptions(new commander.Command("single-port"))
  .description(
    "Serves a web server and its WebSocket mux on one port. What a peer does to a socket ends that connection only.",
  )
  .version(VERSION, "-V, --version")
  // Options are declared on the program and on commands. Without this, the program would take those behind a command.
  .enablePositionalOptions()
  .helpCommand("help [command]", "display help for a command")
  .exitOverride()
  .configureOutput({ outputError: () => {}, writeErr: () => {} })
  .action(async (given: Partial<Options>) => run(completeOptions(given)));

// Modules that only some commands need are loaded by those commands, so that the proxy starts faster.
addOptions(program.command("check"))
  .description(
    "bind the addresses, send one request to each upstream, print the results; exit 0, or 78 when it would not work",
  )
  .action(async (given: Partial<Options>) => {
    const { check } = await import("./ops/check.ts");
    const print = (line: string): void => void process.stdout.write(`${line}\n`);
    for (const { level, text } of environment.notices) print(`${level}: ${text}`);
    const ok = await check(completeOptions(given), print);
    process.exitCode = ok ? 0 : EXIT_CONFIG;
  });

program
  .command("status")
  .description("show what a running single-port does, read from its control socket")
  .option("-p, --port <n>", "public port of the instance to ask; not needed if only one runs", portOf)
  .option("--watch", "update every second")
  .option("--json", "print the whole report as JSON; with --watch one line each second, with the latest 200 tunnels")
  .action(async (given: StatusOptions) => {
    const { status } = await import("./ops/status.ts");
    const { whoListens } = await import("./life/holder.ts");
    await status(given, fail, whoListens);
  });

addOptions(program.command("demo"), ["http", "mux"])
  .description("run in front of a built-in web server and mux")
  .action(async (given: Partial<Options>) => {
    const { startDemo } = await import("./demo/demo.ts");
    const demo = await startDemo();
    const options = completeOptions({ ...given, http: demo.http, mux: demo.mux });
    // With --admin: the live page shows what the demo's buttons do.
    await run({ ...options, admin: options.admin ?? { host: "127.0.0.1", port: 0 } }, demo);
  });

// Otherwise options before the subcommand would be silently ignored.
program.hook("preSubcommand", (_, command) => {
  const early = program.options.find((one) => program.getOptionValueSource(one.attributeName()) === "cli");
  if (early) throw new UsageError(`option '${early.long}' is given before '${command.name()}'. Accepted: after it.`);
});

program.hook("preAction", (_, command) => {
  running = command;
  environment.restore();
});

async function main(): Promise<void> {
  keepDebuggerShut();
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof commander.CommanderError) {
      if (error.exitCode === 0) process.exit(0);
      fail(EXIT_USAGE, usageLine(error));
    }
    if (error instanceof UsageError) fail(EXIT_USAGE, error.message);
    throw error;
  }
}

// An error that main() throws is a bug (life/stop.ts).
void main();
