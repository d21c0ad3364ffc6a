// The process as its manager sees it: agent-orchestrator's start-all spawns it detached, with three variables, and
// kills it 5 s after a SIGTERM.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { run } from "../kit/command.ts";
import { BIN, cleanEnv, NODE, startDaemon } from "../kit/daemon.ts";
import { ask, endOf, nextResponse } from "../kit/messages.ts";
import { deadPort, httpUpstream, muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const GET = head("GET / HTTP/1.1", "Host: a");

/** The variables of the replaced server. */
async function dropIn(web: number, mux: number): Promise<{ port: number; env: NodeJS.ProcessEnv }> {
  const port = await deadPort();
  const env = { PORT: String(port), NEXT_INTERNAL_PORT: String(web), DIRECT_TERMINAL_PORT: String(mux) };
  return { port, env: cleanEnv(env) };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("started as the replaced server was", () => {
  test("it serves both, and after SIGTERM answers what is in flight and is gone with 0 within 5 s", async () => {
    let answer: (() => void) | undefined;
    const web = await httpUpstream((req, res) => {
      if (req.url === "/slow") answer = () => res.end("slow but whole");
      else res.end("ok");
    });
    const mux = await muxUpstream();
    const { port, env } = await dropIn(web.port, mux.port);
    const child = spawn(NODE, [BIN], { stdio: ["ignore", "pipe", "pipe"], detached: true, env });
    onTestFinished(() => void child.kill("SIGKILL"));
    const exit = once(child, "exit") as Promise<[number | null, string | null]>;
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    await until(() => stdout.includes("listening on"), "the ready line", 5000);
    expect(stdout).toContain(
      `listening on ${port}; HTTP → 127.0.0.1:${web.port}; /ao-terminal-mux → 127.0.0.1:${mux.port}/mux`,
    );

    expect((await ask(port, GET)).body).toBe("ok");
    const tunnel = await dial(port);
    tunnel.send(upgrade("/ao-terminal-mux"));
    await tunnel.readUntil("101 Switching Protocols");

    const slow = await dial(port);
    slow.send(head("GET /slow HTTP/1.1", "Host: a"));
    await until(() => answer, "the slow request at the upstream");
    child.kill("SIGTERM");
    // The Close of the tunnel tells that the drain has begun: 1001.
    await tunnel.readUntil("\x88\x02\x03\xe9");
    answer!();
    const response = await nextResponse(slow);
    expect([response.body, response.field("connection")]).toEqual(["slow but whole", "close"]);
    expect(await within(exit, "exit", 5000)).toEqual([0, null]);
    expect(stderr).toBe("");
  });

  test("it lives on when its parent was killed and nobody reads its output, and ends with 0", async () => {
    const web = await httpUpstream((_req, res) => res.end("ok"));
    const { port, env } = await dropIn(web.port, await deadPort());
    const parent = spawn(
      NODE,
      [
        "-e",
        `const { spawn } = require("node:child_process");
         const child = spawn(process.execPath, [${JSON.stringify(BIN)}], { stdio: ["ignore", "pipe", "pipe"], detached: true });
         child.stdout.pipe(process.stdout);
         child.stderr.pipe(process.stderr);
         console.log("pid " + child.pid);`,
      ],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...env, SINGLE_PORT_ACCESS_LOG: "1" } },
    );
    let output = "";
    parent.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    await until(() => output.includes("listening on"), "the ready line", 5000);
    const pid = Number(/pid (\d+)/.exec(output)?.[1]);
    onTestFinished(() => void (isAlive(pid) && process.kill(pid, "SIGKILL")));

    const gone = once(parent, "exit");
    parent.kill("SIGKILL");
    await gone;
    // Each of these writes a line to a pipe that nobody reads.
    for (let i = 0; i < 20; i += 1) expect((await ask(port, GET)).body).toBe("ok");
    expect(isAlive(pid)).toBe(true);
    // A client that resets: a line at info without being asked.
    const client = await dial(port);
    client.send(head("POST / HTTP/1.1", "Host: a", "Content-Length: 5"));
    client.reset();
    expect((await ask(port, GET)).body).toBe("ok");

    process.kill(pid, "SIGTERM");
    await until(() => !isAlive(pid), "the daemon to end", 5000);
    await expect(dial(port)).rejects.toThrow("ECONNREFUSED");
  });
});

test("while it drains, idle connections are closed, new ones refused, and the rest ends with --drain", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--drain", "500ms"]);
  const idle = await dial(daemon.port);
  const busy = await dial(daemon.port);
  busy.send(GET);
  await (await up.next()).readUntil("\r\n\r\n");
  daemon.child.kill("SIGTERM");
  expect(await endOf(idle)).toBe("fin");
  await expect(dial(daemon.port)).rejects.toThrow("ECONNREFUSED");
  // Nothing comes from the upstream: the client is told rather than left.
  expect((await nextResponse(busy)).status).toBe(503);
  expect(await within(daemon.exited, "exit")).toBe(0);
});

test("with nothing in flight it ends at once", async () => {
  const daemon = await startDaemon(["--http", String(await deadPort()), "--drain", "1m"]);
  expect(await daemon.stop()).toBe(0);
  expect(daemon.log.map(({ msg }) => msg)).toEqual(expect.arrayContaining(["stopping", "stopped"]));
  expect(daemon.stderr()).toBe("");
});

test("nothing is ever written to stderr: no deprecation, no warning", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const mux = await muxUpstream();
  const daemon = await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`]);
  // More than ten on one connection: where a leaked listener would make node warn.
  const client = await dial(daemon.port);
  for (let i = 0; i < 30; i += 1) {
    client.send(`${head("PUT / HTTP/1.1", "Host: a", "Content-Length: 4")}body`);
    await nextResponse(client, "PUT");
  }
  const tunnel = await dial(daemon.port);
  tunnel.send(upgrade("/mux"));
  await tunnel.readUntil("101 Switching Protocols");
  expect(await daemon.stop()).toBe(0);
  expect(daemon.stderr()).toBe("");
});

test("as a module: startSinglePort() resolves with the bound address, close() ends it and lets the process go", async () => {
  const web = await httpUpstream((_req, res) => res.end("from the module"));
  const script = `
    import { startSinglePort } from "single-port";
    const proxy = await startSinglePort({ port: "0", http: "${web.port}", hold: "0" });
    const response = await fetch("http://127.0.0.1:" + proxy.address.port, { headers: { connection: "close" } });
    console.log(proxy.address.address, await response.text());
    await proxy.close();
    await startSinglePort({ http: "x" }).catch((error) => console.log(error.message));
    await startSinglePort({ htpp: "1" }).catch((error) => console.log(error.message));
  `;
  // Its own package by name: what "exports" says.
  const cwd = new URL("../..", import.meta.url);
  const { code, stdout, stderr } = await run(NODE, ["--input-type=module", "-e", script], { cwd, env: cleanEnv() });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^127\.0\.0\.1 from the module\n/);
  expect(stdout).toMatch(/option 'http' is 'x'\. Accepted: 4000/);
  expect(stdout).toMatch(/there is no option 'htpp'/);
});
