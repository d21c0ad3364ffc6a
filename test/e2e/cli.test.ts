import { describe, expect, test } from "vitest";
import { singlePort, type Ended } from "../kit/command.ts";
import { head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";
import { httpUpstream } from "../kit/upstream.ts";

test("--version prints the version, and nothing else", async () => {
  const { default: manifest } = await import("../../package.json", { with: { type: "json" } });
  for (const flag of ["--version", "-V"]) {
    expect(await singlePort([flag])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: "" });
  }
});

test("--help lists every option in its group, with default and environment variable", async () => {
  const { code, stdout, stderr } = await singlePort(["--help"]);
  expect([code, stderr]).toEqual([0, ""]);
  const groups = [...stdout.matchAll(/^\S.*:$/gm)].map(([line]) => line);
  expect(groups).toEqual(
    expect.arrayContaining([
      "Addresses and upstreams:",
      "Tunnels:",
      "Plain requests:",
      "Limits:",
      "Process and log:",
      "Commands:",
    ]),
  );
  const text = stdout.replaceAll(/\s+/g, " ");
  expect(text).toContain("public port; 0 picks a free one (default: 3000, env: PORT)");
  expect(text).toContain("(default: 10s, env: SINGLE_PORT_HOLD)");
  expect(text).toContain("(required) (env: NEXT_INTERNAL_PORT)");
});

/** One line on stderr, nothing on stdout, exit 64. Returns the line. */
function usage({ code, stdout, stderr }: Ended): string {
  expect(stderr).toMatch(/^single-port: [^\n]+\n$/);
  expect([code, stdout]).toEqual([64, ""]);
  expect(stderr).toContain("Accepted: ");
  return stderr;
}

describe("a usage error is one line that names the option, what was given and what is accepted; exit 64", () => {
  const http = ["--http", "4000"];
  test.each<[string, string[], string, string]>([
    ["a duration", [...http, "--hold", "soon"], "--hold", "'soon'"],
    ["a duration below its least", [...http, "--ping-timeout", "1ms"], "--ping-timeout", "'1ms'"],
    ["a duration too long for a timer", [...http, "--drain", "600h"], "--drain", "'600h'"],
    ["a size", [...http, "--replay-buffer", "1x"], "--replay-buffer", "'1x'"],
    ["a size above its most", [...http, "--max-header-size", "2m"], "--max-header-size", "'2m'"],
    ["a number", [...http, "--max-tunnels", "-1"], "--max-tunnels", "'-1'"],
    ["a port", [...http, "-p", "65536"], "--port", "'65536'"],
    ["an empty port", [...http, "--port", ""], "--port", "''"],
    ["a host", [...http, "--host", "a b"], "--host", "'a b'"],
    ["networks", [...http, "--trust-proxy", "10.0.0.0/33"], "--trust-proxy", "'10.0.0.0/33'"],
    ["an origin", [...http, "--allow-origin", "example.org"], "--allow-origin", "'example.org'"],
    ["a log level", [...http, "--log-level", "loud"], "--log-level", "'loud'"],
    ["a log format", [...http, "--log-format", "xml"], "--log-format", "'xml'"],
    ["a target", ["--http", "four"], "--http", "'four'"],
    ["a target with a port nobody has", ["--http", "70000"], "--http", "'70000'"],
    ["a target with TLS", ["--http", "https://a:1"], "--http", "'https://a:1'"],
    ["a target of two lines", ["--http", "4000\n5000"], "--http", "'4000 5000'"],
    ["a path for --http", ["--http", "4000/app"], "--http", "/app"],
    ["a mux", [...http, "--mux", "term=1"], "--mux", "'term=1'"],
    ["the same path twice", [...http, "--mux", "/t=1", "--mux", "/t=2"], "--mux", "/t"],
    ["the same default path twice", [...http, "--mux", "1/a", "--mux", "2/b"], "--mux", "/ao-terminal-mux"],
    ["an upstream that is the listening address", ["--http", "localhost:3000"], "--http", "localhost:3000"],
    ["a mux that is the listening address", [...http, "-p", "77", "--mux", "77/mux"], "--mux", "127.0.0.1:77"],
    ["the same for any address", [...http, "--host", "::", "-p", "77", "--mux", "[::1]:77"], "--mux", "[::1]:77"],
    ["no --http", ["--port", "0"], "--http", "NEXT_INTERNAL_PORT"],
    ["an option without its value", ["--http"], "--http", "missing"],
    ["an option that does not exist", [...http, "--nonsense"], "'--nonsense'", "--help"],
    ["a command that does not exist", [...http, "start"], "'start'", "--help"],
    ["help for a command that does not exist", ["help", "start"], "no command 'start'", "--help"],
    ["a value for a switch", [...http, "--access-log=yes"], "--access-log=yes", "--help"],
    ["a bad value for check", ["check", ...http, "--hold", "soon"], "--hold", "'soon'"],
  ])("%s", async (_, args, option, given) => {
    const line = usage(await singlePort(args));
    expect(line).toContain(option);
    expect(line).toContain(given);
  });

  test.each([
    ["PORT", "x"],
    ["NEXT_INTERNAL_PORT", "x"],
    ["DIRECT_TERMINAL_PORT", "99999"],
    ["SINGLE_PORT_HOLD", "soon"],
  ])("a bad %s in the environment", async (name, value) => {
    const line = usage(await singlePort([], { NEXT_INTERNAL_PORT: "4000", [name]: value }));
    expect(line).toContain(`'${value}' from environment ${name} `);
  });

  test.each<[string, Record<string, string>, string]>([
    [
      "an address of our own",
      { PORT: "4000" },
      "option '--http' (from environment NEXT_INTERNAL_PORT) is 127.0.0.1:4000",
    ],
    [
      "an address for operators",
      { SINGLE_PORT_ADMIN: "3000" },
      "option '--admin' (from environment SINGLE_PORT_ADMIN)",
    ],
    [
      "a path for the web server",
      { NEXT_INTERNAL_PORT: "1/x" },
      "option '--http' (from environment NEXT_INTERNAL_PORT)",
    ],
  ])("%s: the line says which variable it came from", async (_, env, words) => {
    expect(usage(await singlePort([], { NEXT_INTERNAL_PORT: "4000", ...env }))).toContain(words);
  });
});

test("a port in use: one line that names who has it, exit 78", async () => {
  const taken = await httpUpstream((_req, res) => res.end());
  const args = ["--http", "1", "--port", String(taken.port), "--bind-retry", "0", "--log-level", "silent"];
  const { code, stdout, stderr } = await singlePort(args);
  expect([code, stdout]).toEqual([78, ""]);
  expect(stderr).toMatch(/^single-port: [^\n]+\n$/);
  expect(stderr).toContain(`127.0.0.1:${taken.port}`);
  expect(stderr).toContain("(EADDRINUSE: address already in use)");
  expect(stderr).toContain("--port");
  expect(stderr).not.toContain("--takeover");
});

test("a host that is not of this machine: exit 78", async () => {
  const { code, stderr } = await singlePort(["--http", "1", "--port", "0", "--host", "192.0.2.1"]);
  expect(code).toBe(78);
  expect(stderr).toMatch(/^single-port: [^\n]*192\.0\.2\.1[^\n]*--host[^\n]*\n$/);
});

test.each([
  ["SINGLE_PORT_HOST", "x86_64-conda-linux-gnu"],
  ["SINGLE_PORT_HOST", "192.0.2.1"],
  ["HOST", "192.0.2.1"],
])("%s=%s, which is no address of this machine: the line says where it came from", async (name, host) => {
  const { code, stderr } = await singlePort(["--http", "1", "--port", "0", "--log-level", "silent"], { [name]: host });
  expect(code).toBe(78);
  expect(stderr).toContain(`${host} is not an address of this machine`);
  expect(stderr).toContain(`option '--host' (from environment ${name})`);
});

test("HOST as conda exports it is not read, and the log says so; a slip in a name is a warning", async () => {
  const daemon = await startDaemon(["--http", "1"], { HOST: "x86_64-conda-linux-gnu", SINGLE_PORT_HLD: "1s" });
  const said = daemon.log.map(({ msg }) => msg);
  expect(said).toContainEqual(
    expect.stringContaining("HOST=x86_64-conda-linux-gnu is ignored, since it is not an IP address"),
  );
  expect(said).toContain("unknown environment variables are ignored: SINGLE_PORT_HLD (did you mean SINGLE_PORT_HOLD?)");
});

test.each([
  [["help"], /^Usage: single-port \[options\] \[command\]/],
  [["help", "status"], /^Usage: single-port status/],
])("%j helps", async (args, words) => {
  const { code, stdout, stderr } = await singlePort(args);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(words);
});

test("the log is silent with --log-level silent, and stays JSON when asked", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const daemon = await startDaemon(["--http", String(web.port)]);
  await ask(daemon.port, head("GET /?token=secret HTTP/1.1", "Host: a"));
  await daemon.stop();
  // Every line was parsed as JSON by the kit; none of them knows the query.
  expect(JSON.stringify(daemon.log)).not.toContain("secret");
  expect(daemon.stderr()).toBe("");
});
