// The command line: argv to options, subcommands, exit codes. Nothing here serves a request.

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { codeOf } from "./core/errors.ts";
import { createLog } from "./core/log.ts";
import { check } from "./check.ts";
import { startDaemon } from "./daemon.ts";
import { installStop } from "./life/stop.ts";
import { commanderOptions, completeOptions, readEnvironment, UsageError, type Options } from "./options.ts";

// sysexits.h: the codes supervisors know. 78 tells them not to try again.
const EXIT_USAGE = 64;
const EXIT_NOPERM = 77;
const EXIT_CONFIG = 78;

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** Says one line on stderr and exits. */
function fail(code: number, line: string): never {
  process.stderr.write(`single-port: ${line}\n`);
  process.exit(code);
}

async function run(options: Options): Promise<void> {
  const { log, flush } = await createLog(options.logLevel, options.logFormat);
  try {
    const daemon = await startDaemon(options, log);
    installStop({ log, flush, close: () => daemon.close() });
  } catch (error) {
    flush();
    const where = `${options.host}:${options.port}`;
    const code = codeOf(error);
    if (code === "EACCES")
      fail(EXIT_NOPERM, `no right to listen on ${where} (option '--port'); ports from 1024 up need none`);
    if (code === "EADDRINUSE") fail(EXIT_CONFIG, `${where} is in use (option '--port')`);
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
      fail(EXIT_CONFIG, `${options.host} is no address of this machine (option '--host')`);
    throw error;
  }
}

function addOptions(command: Command): Command {
  for (const option of commanderOptions()) command.addOption(option);
  return command;
}

const program = addOptions(new Command("single-port"))
  .description("Puts a web server and its WebSocket mux on one port, and survives whatever a peer does to a socket.")
  .version(version(), "-V, --version")
  .showHelpAfterError(false)
  .exitOverride()
  .configureOutput({ outputError: () => {} })
  .action(async (given: Partial<Options>) => run(completeOptions(given)));

addOptions(program.command("check"))
  .description("validate the options, probe the upstreams, print what would run; exit 0 or 78")
  .action(async (given: Partial<Options>) => {
    const ok = await check(completeOptions(given), (line) => process.stdout.write(`${line}\n`));
    process.exitCode = ok ? 0 : EXIT_CONFIG;
  });

program.command("demo").description("run in front of a built-in dashboard and mux; needs nothing else");

readEnvironment(process.env);
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exit(0);
    fail(EXIT_USAGE, error.message.replace(/^error: /, "").replaceAll("\n", " "));
  }
  if (error instanceof UsageError) fail(EXIT_USAGE, error.message);
  throw error;
}
