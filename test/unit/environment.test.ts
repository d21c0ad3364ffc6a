import { describe, expect, test } from "vitest";
import { readEnvironment } from "../../src/options/environment.ts";

/** What the options see of an environment. */
function read(env: NodeJS.ProcessEnv, ...args: string[]): NodeJS.ProcessEnv {
  const seen = { ...env };
  readEnvironment(seen, args);
  return seen;
}

const notices = (env: NodeJS.ProcessEnv, ...args: string[]): string[] =>
  readEnvironment({ ...env }, args).notices.map(({ level, text }) => `${level}: ${text}`);

describe("what is set", () => {
  test("empty is unset", () => expect(read({ PORT: "", SINGLE_PORT_HOLD: "", OTHER: "" })).toEqual({ OTHER: "" }));
  test.each(["0", "false", "no", "OFF"])("a switch that says %s is off", (text) =>
    expect(read({ SINGLE_PORT_ACCESS_LOG: text })).toEqual({}),
  );
  test("a switch that says anything else is on", () =>
    expect(read({ SINGLE_PORT_ACCESS_LOG: "1" })).toEqual({ SINGLE_PORT_ACCESS_LOG: "1" }));
  test("is put back for the commands we run", () => {
    const given = { PORT: "", HOST: "127.0.0.2", SINGLE_PORT_TAKEOVER: "no", NEXT_INTERNAL_PORT: "4000" };
    const env: NodeJS.ProcessEnv = { ...given };
    const { restore } = readEnvironment(env, []);
    expect(env).not.toEqual(given);
    restore();
    expect(env).toEqual(given);
  });
});

describe("a drop-in for the replaced server", () => {
  const env = { NEXT_INTERNAL_PORT: "4000" };
  test("has the mux where that one looks for it", () => {
    expect(read(env)["DIRECT_TERMINAL_PORT"]).toBe("14801");
    expect(read({ ...env, DIRECT_TERMINAL_PORT: "" })["DIRECT_TERMINAL_PORT"]).toBe("14801");
    expect(read({ ...env, DIRECT_TERMINAL_PORT: "99" }, "--port", "1")["DIRECT_TERMINAL_PORT"]).toBe("99");
  });
  test.each([["--http", "1"], ["--http=1"], ["--mux", "1"], ["--mux=1"]])("is none with %s", (...args) =>
    expect(read(env, ...args)).not.toHaveProperty("DIRECT_TERMINAL_PORT"),
  );
  test("does not read HOST, and says so", () => {
    expect(read({ ...env, HOST: "0.0.0.0" })).not.toHaveProperty("SINGLE_PORT_HOST");
    expect(notices({ ...env, HOST: "0.0.0.0" })).toEqual([
      "info: environment HOST=0.0.0.0 is ignored, as the replaced server does; to set the listening address use --host or SINGLE_PORT_HOST",
    ]);
  });
  test("reads SINGLE_PORT_HOST", () =>
    expect(read({ ...env, HOST: "a", SINGLE_PORT_HOST: "0.0.0.0" })["SINGLE_PORT_HOST"]).toBe("0.0.0.0"));
});

describe("HOST elsewhere", () => {
  test.each(["0.0.0.0", "::1", "localhost"])("%s is an address to bind, and HOST is named as its source", (host) => {
    const env: NodeJS.ProcessEnv = { HOST: host };
    const { notices: said, sources } = readEnvironment(env, []);
    expect([env["SINGLE_PORT_HOST"], said, sources.get("SINGLE_PORT_HOST")]).toEqual([host, [], "HOST"]);
  });
  test.each(["x86_64-conda-linux-gnu", "mylaptop"])("%s, the name of a machine, is not read", (host) => {
    expect(read({ HOST: host })).not.toHaveProperty("SINGLE_PORT_HOST");
    expect(notices({ HOST: host })).toEqual([
      `info: environment HOST=${host} is ignored, since it is not an IP address or localhost; to set the listening address use --host or SINGLE_PORT_HOST`,
    ]);
  });
});

describe("a name that nobody reads gets one warning", () => {
  const warned = (name: string, value = "1"): string[] => notices({ [name]: value });
  test.each([
    ["SINGLE_PORT_HLD", "SINGLE_PORT_HOLD"],
    ["SINGLE_PORT_PARENTPID", "SINGLE_PORT_PARENT_PID"],
    ["SINGLEPORT_HOLD", "SINGLE_PORT_HOLD"],
    ["single_port_hold", "SINGLE_PORT_HOLD"],
    ["SINGLE_PORT_VI", "SINGLE_PORT_VIA"],
    ["SINGLE_PORT_MUX", "DIRECT_TERMINAL_PORT"],
    ["SINGLE_PORT_PORT", "PORT"],
    ["NEXT_INTERAL_PORT", "NEXT_INTERNAL_PORT"],
    ["DIRECT_TERMINAL_PROT", "DIRECT_TERMINAL_PORT"],
  ])("%s may mean %s", (name, meant) =>
    expect(warned(name)).toEqual([`warn: unknown environment variables are ignored: ${name} (did you mean ${meant}?)`]),
  );
  test("two letters left out anywhere in a long name are noticed", () => {
    const name = "DIRECT_TERMINAL_PORT";
    for (let first = 0; first < name.length; first++)
      for (let second = first + 1; second < name.length; second++) {
        const slip = name.slice(0, first) + name.slice(first + 1, second) + name.slice(second + 1);
        expect(warned(slip)).toEqual([expect.stringContaining(`: ${slip} (did you mean ${name}?)`)]);
      }
  });
  // The last one shares a letter with a short name, as nearly every name does.
  test.each(["SINGLE_PORT_NONSENSE", "SINGLE_PORT_A"])("%s is like none and has no suggestion", (name) =>
    expect(warned(name)).toEqual([`warn: unknown environment variables are ignored: ${name}`]),
  );
  test("several are one line", () =>
    expect(notices({ SINGLE_PORT_A: "1", SINGLE_PORT_B: "1" })).toEqual([
      "warn: unknown environment variables are ignored: SINGLE_PORT_A, SINGLE_PORT_B",
    ]));
  test.each([
    ["SINGLE_PORT_HOLD", "1s"],
    ["SINGLE_PORT_UPSTREAM", "http"],
    ["SINGLE_PORT_TARGET", "127.0.0.1:4000"],
    ["SINGLE_PORT_SERVICE_HOST", "10.0.0.1"],
    ["SINGLE_PORT_SERVICE_PORT_WEB", "3000"],
    ["SINGLE_PORT_PORT", "tcp://10.0.0.1:3000"],
    ["SINGLE_PORT_PORT_3000_TCP_ADDR", "10.0.0.1"],
    ["PORTS", "1"],
    ["INTERNAL_PORT", "1"],
  ])("%s=%s gets none", (name, value) => expect(warned(name, value)).toEqual([]));
});
