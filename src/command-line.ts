// The command line as commander parses it: options, subcommands, help, and what is wrong. Called by cli.ts.

import type { Command, CommanderError } from "commander";
import { load } from "./core/packages.ts";
import type { Demo } from "./demo/demo.ts";
import type { StatusOptions } from "./ops/status.ts";
import type { Environment } from "./options/environment.ts";
import { commanderOptions, completeOptions, UsageError, type Options } from "./options/options.ts";
import { integer } from "./options/types.ts";
import { version } from "./proxy/proxy.ts";

const commander = load("commander") as typeof import("commander");

// Exit codes of sysexits.h.
const EXIT_USAGE = 64;
const EXIT_CONFIG = 78;

/** What cli.ts does for a command. */
export interface Door {
  environment: Environment;
  /** Runs the proxy; with `demo`, in front of it. */
  run: (options: Options, demo?: Demo) => Promise<void>;
  /** Prints one line on stderr and exits. */
  fail: (code: number, line: string) => never;
  /** A command begins. `fromEnv` has the variable of each option whose value came from the environment. */
  begins: (fromEnv: ReadonlyMap<string, string>) => void;
}

/** Parses the command line, and does what it says. */
export async function runCommand(door: Door): Promise<void> {
  const program = programOf(door);
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof commander.CommanderError) {
      if (error.exitCode === 0) process.exit(0);
      door.fail(EXIT_USAGE, usageLine(program, error));
    }
    if (error instanceof UsageError) door.fail(EXIT_USAGE, error.message);
    throw error;
  }
}

/** Commander's message as one line, with what was given and what is accepted. */
function usageLine(program: Command, error: CommanderError): string {
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

function programOf(door: Door): Command {
  const program = addOptions(new commander.Command("single-port"))
    .description(
      "Serves a web server and its WebSocket mux on one port. What a peer does to a socket ends that connection only.",
    )
    .version(version(), "-V, --version")
    // Options are declared on the program and on commands. Without this, the program would take those behind a command.
    .enablePositionalOptions()
    .helpCommand("help [command]", "display help for a command")
    .exitOverride()
    .configureOutput({ outputError: () => {}, writeErr: () => {} })
    .action(async (given: Partial<Options>) => door.run(completeOptions(given)));
  addCommands(program, door);
  // Otherwise options before the subcommand would be silently ignored.
  program.hook("preSubcommand", (_, command) => {
    const early = program.options.find((one) => program.getOptionValueSource(one.attributeName()) === "cli");
    if (early) throw new UsageError(`option '${early.long}' is given before '${command.name()}'. Accepted: after it.`);
  });
  program.hook("preAction", (_, command) => door.begins(fromEnv(command)));
  return program;
}

function fromEnv(command: Command): Map<string, string> {
  const read = command.options.filter((one) => command.getOptionValueSource(one.attributeName()) === "env");
  return new Map(read.map(({ long, envVar }) => [long ?? "", envVar ?? ""]));
}

/** Modules that only some commands need are loaded by those commands. */
function addCommands(program: Command, { environment, run, fail }: Door): void {
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
}
