// agent-orchestrator's own dashboards, from npm, with the README's two recipes: beside AO, and in place of AO's server.
// They are looked at with Chromium while their servers are killed and connections reset.

import type { Page } from "playwright-core";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { addCore, AOAGENTS, aoFromNpm, COMPOSIO, installedGlobally, noTmux, tmuxShell, withAo } from "../kit/ao.ts";
import { browserForFile, noChromium, type Browser } from "../kit/browser.ts";
import { tempFolder } from "../kit/child.ts";
import { dial, upgrade } from "../kit/client.ts";
import { launch, type Launched } from "../kit/launch.ts";
import { accepts, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { childCalled, descendants, endFamily } from "../kit/processes.ts";
import { project } from "../kit/project.ts";
import { readmeBlock, ROOT, substitute } from "../kit/readme.ts";
import { relayTo } from "../kit/relay.ts";
import { until, within } from "../kit/until.ts";
import { deadPort } from "../kit/upstream.ts";

const TEST_MS = 400_000;
const SOON_MS = 60_000;
const RESETS = 20;
/** Handshakes with a mux that is frozen are not to end by themselves. */
const PATIENT = { SINGLE_PORT_HANDSHAKE_TIMEOUT: "60s" };
const TERMINALS = "direct-terminal-ws.js";

const { folder, missing } = await aoFromNpm();
const reason = missing ?? noChromium ?? noTmux;

/** A script of the README with AO in it, which runs until the test ends. */
function runs(script: string, cwd: string, env: NodeJS.ProcessEnv): Launched {
  const script_ = launch("sh", ["-c", script], { cwd, env });
  endFamily(script_.pid);
  return script_;
}

/** The pid of one of AO's servers, waited for. */
async function server(of: Launched, name: string, not = 0): Promise<number> {
  const found = (): number | undefined => childCalled(of.pid, name);
  return await until(
    () => found() !== not && found(),
    () => `${name} to run; ${of.stdout()}${of.stderr()}`,
    SOON_MS,
  );
}

/** A tab with one of AO's terminals in it. */
interface Terminal {
  page: Page;
  /** Types a command, and waits for what it prints both here and in the shell's own screen. */
  types(before?: string): Promise<void>;
}

let commands = 0;
async function terminal(browser: Browser, port: number, shell: ReturnType<typeof tmuxShell>): Promise<Terminal> {
  const page = await browser.newPage();
  let came = "";
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => (came += payload.toString())));
  await page.goto(`http://127.0.0.1:${port}/test-direct?session=${shell.name}`, { timeout: SOON_MS });
  await until(() => came !== "", "the terminal's first bytes", SOON_MS);
  return {
    page,
    types: async (before = "") => {
      const [a, b] = [1000 + (commands += 1), 7000];
      const inShell = (ms: number): Promise<boolean> =>
        until(() => shell.screen().includes(`sum=${a + b}`), `sum=${a + b} in the shell`, ms).catch(() => false);
      // What is typed while the page reconnects is lost: a line that was begun is given up, and one without its
      // beginning has another sum.
      await until(
        async () => {
          await page.locator(".xterm-helper-textarea").focus();
          await page.keyboard.press("Control+c");
          await page.keyboard.type(`a=${a}; ${before}echo sum=$((a + ${b}))\n`);
          return await inShell(2000);
        },
        `sum=${a + b} in the shell`,
        SOON_MS,
      );
      await until(() => came.includes(`sum=${a + b}`), `sum=${a + b} on the page`, SOON_MS);
    },
  };
}

/** The connections to a port of loopback that stand, by the port of who has dialled; AO listens on both addresses. */
function connectionsTo(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const line = new RegExp(`^ *\\d+: \\w+:(\\w+) \\w+:${hex} 01 `, "gm");
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map((file) => readFileSync(file, "utf8"));
  return tables.flatMap((table) => [...table.matchAll(line)].map(([, dialler]) => dialler ?? ""));
}

/** Clients that ask a frozen mux for a tunnel and are reset before the 101. */
async function resetBefore101(port: number, mux: { port: number; pid: number }): Promise<void> {
  const clients = await Promise.all(Array.from({ length: RESETS }, () => dial(port)));
  process.kill(mux.pid, "SIGSTOP");
  // A probe may be among them, and end.
  const before = new Set(connectionsTo(mux.port));
  for (const client of clients) client.send(upgrade("/ao-terminal-mux"));
  const waiting = (): number => connectionsTo(mux.port).filter((one) => !before.has(one)).length;
  const seen = (): string => {
    const answers = clients.map((client) => [client.received().slice(0, 200), client.socket.readableEnded]);
    return `all of them to wait for the mux; ${waiting()} do; ${JSON.stringify(answers)}`;
  };
  await until(() => waiting() >= RESETS, seen, SOON_MS);
  for (const client of clients) client.reset();
  process.kill(mux.pid, "SIGCONT");
}

const title = "agent-orchestrator's dashboards";
describe.skipIf(reason)(reason === undefined ? title : `${title} (skipped: ${reason})`, () => {
  const browser = browserForFile();
  test.for([COMPOSIO, AOAGENTS])("side by side, %s", { timeout: TEST_MS }, async (release) => {
    const [port, http, mux] = [await deadPort(), await deadPort(), await deadPort()];
    if (release === AOAGENTS) addCore(join(folder, "node_modules"));
    const yaml = substitute(readmeBlock("yaml", "directTerminalPort"), { "4000": `${http}`, "14801": `${mux}` });
    expect(yaml).toBe(`port: ${http}\ndirectTerminalPort: ${mux}\n`);
    const recipe = substitute(readmeBlock("sh", "ao start &"), {
      "--port 3000 --http 4000": `--port ${port} --http ${http}`,
      "14801": `${mux}`,
    });
    const runtime = ownRuntime();
    const web = join(folder, "node_modules", release);
    // Who is silent is given up soon, and who waits for a server that this machine takes its time to start is not.
    const times = {
      SINGLE_PORT_PING_INTERVAL: "1s",
      SINGLE_PORT_PING_TIMEOUT: "8s",
      SINGLE_PORT_HOLD: "60s",
      ...PATIENT,
    };
    const all = runs(recipe, project(), { ...withAo(web, http, mux), ...runtime, ...times });
    const status = (): ReturnType<typeof statusOf> => statusOf(controlSocket(runtime, port));
    const next = await server(all, "next");
    let terminals = await server(all, TERMINALS);
    await until(
      async () => (await accepts(port)) && (await accepts(http)) && (await accepts(mux)),
      "all of it",
      SOON_MS,
    );
    await until(() => existsSync(controlSocket(runtime, port)), "its control socket", SOON_MS);
    const { pid } = await status();

    const network = await relayTo(port);
    const shell = tmuxShell();
    const tab = await terminal(browser, network.port, shell);
    await tab.types("kept=here; ");
    // AO begins each stream with what there is.
    let seen = 0;
    const events = async (): Promise<void> => {
      if (release !== COMPOSIO) return;
      const count =
        "window.seen ??= ((new EventSource('/api/events').onmessage = () => (window.seen += 1)), 0), window.seen";
      const now = (): Promise<number> => tab.page.evaluate<number>(count);
      await until(async () => (await now()) > seen, "events", SOON_MS);
      seen = await now();
    };
    await events();

    // Behind the 101, and before it.
    expect(network.reset()).toBeGreaterThan(0);
    await tab.types();
    await events();
    await resetBefore101(port, { port: mux, pid: terminals });
    await tab.types();

    // The laptop sleeps until it is given up, and finds the same shell when it wakes.
    const laptop = browser.processes();
    for (const one of laptop) process.kill(one, "SIGSTOP");
    try {
      await until(async () => (await status()).tunnels.length === 0, "a silent client to be given up", SOON_MS);
    } finally {
      for (const one of laptop) process.kill(one, "SIGCONT");
    }
    await tab.types('echo "$kept"; ');
    expect(shell.screen()).toMatch(/^here$/m);

    // AO starts its mux again, and the shell is still what it was.
    process.kill(terminals, "SIGKILL");
    terminals = await server(all, TERMINALS, terminals);
    await tab.types('echo "$kept"; ');
    expect(shell.screen()).toMatch(/^here$/m);

    // AO does not start Next again. The terminals do not mind; who asks meanwhile waits for somebody who does.
    process.kill(next, "SIGKILL");
    await until(async () => !(await accepts(http)), "Next to be gone", SOON_MS);
    const waits = fetch(`http://127.0.0.1:${port}/`);
    await until(async () => (await status()).held > 0, "a request to be held", SOON_MS);
    await tab.types();
    runs(`PORT=${http} exec "${join(folder, "node_modules/.bin/next")}" start -p ${http}`, web, process.env);
    expect((await within(waits, "the answer of a new Next", SOON_MS)).status).toBe(200);
    await events();

    // A closed tab is no bad ending.
    const before = (await status()).totals.failed;
    await tab.page.close();
    await until(async () => (await status()).tunnels.length === 0, "the tunnels to end", SOON_MS);
    const { totals, pid: still } = await status();
    expect([totals.failed, totals.uncaught, still]).toEqual([before, 0, pid]);
  });

  test("in place of AO's own server, which one reset ends", { timeout: TEST_MS }, async () => {
    const prefix = tempFolder();
    const web = installedGlobally(folder, prefix);
    const [port, http, mux] = [await deadPort(), await deadPort(), await deadPort()];
    const npm = { NPM_CONFIG_PREFIX: prefix, NPM_CONFIG_IGNORE_SCRIPTS: "true", NEXT_INTERNAL_PORT: `${http}` };
    const env = { ...withAo(web, port, mux), ...ownRuntime(), ...npm, ...PATIENT };
    const recipe = substitute(readmeBlock("sh", "AO_PATH_BASED_MUX=1"), {
      "--global single-port": `--global --no-audit --no-fund "${ROOT}"`,
    });
    const start = recipe.trim().split("\n").at(-1) ?? "";
    const whole = (): Promise<boolean> =>
      Promise.all([port, http, mux].map(accepts)).then((all) => all.every((one) => one));

    const before = runs(start, prefix, env);
    const isUp = (): boolean => before.stdout().includes(`[single-port] listening on ${port};`);
    await until(
      async () => isUp() && (await whole()),
      () => `AO as it comes; ${before.stdout()}`,
      SOON_MS,
    );
    await resetBefore101(port, { port: mux, pid: await server(before, TERMINALS) });
    await until(() => before.stdout().includes("[single-port] exited with code 1"), "AO's own server to die", SOON_MS);
    expect(before.stdout()).toContain("ECONNRESET");
    for (const one of [...descendants(before.pid), before.pid]) process.kill(one, "SIGKILL");
    await until(async () => !(await accepts(http)) && !(await accepts(mux)), "its ports to be free", SOON_MS);

    const all = runs(recipe, prefix, env);
    await until(
      () => all.stdout().includes("listening on"),
      () => `single-port; ${all.stdout()}${all.stderr()}`,
      SOON_MS,
    );
    await until(whole, "AO with single-port", SOON_MS);
    await resetBefore101(port, { port: mux, pid: await server(all, TERMINALS) });
    const tab = await terminal(browser, port, tmuxShell());
    await tab.types();
    const tunnel = await dial(port);
    tunnel.send(upgrade("/ao-terminal-mux"));
    await tunnel.readUntil("101 Switching", SOON_MS);

    // AO's own server stays when `start-all` is killed, and holds the port.
    await server(all, "dist-server/single-port-server.js");
    descendants(all.pid);
    process.kill(await server(all, "dist-server/start-all.js"), "SIGKILL");
    await until(async () => !(await accepts(port)), "the port to be free", SOON_MS);
  });
});
