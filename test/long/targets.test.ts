import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { ListenOptions } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocketServer } from "ws";
import { dial, head, upgrade } from "../kit/client.ts";
import { singlePort } from "../kit/command.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask } from "../kit/messages.ts";

/** A server that answers requests with their path, and echoes WebSocket messages on /mux. */
async function serve(at: ListenOptions = { host: "127.0.0.1" }): Promise<{ port: number }> {
  const server = createServer((req, res) => res.end(`web ${req.url}`));
  new WebSocketServer({ server }).on("connection", (client, req) => client.send(`mux ${req.url}`));
  await new Promise<void>((resolve) => server.listen("path" in at ? at : { port: 0, ...at }, resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return { port: typeof address === "string" ? 0 : (address?.port ?? 0) };
}

function socketFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "single-port-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "app.sock");
}

const hasIPv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));

/** Does a daemon with these options serve requests, and the mux on these paths? */
async function serves(args: string[], muxPaths: string[] = [], env: Record<string, string> = {}): Promise<void> {
  const daemon = await startDaemon(args, env);
  expect((await ask(daemon.port, head("GET /x HTTP/1.1", "Host: a"))).body).toBe("web /x");
  for (const path of muxPaths) {
    const client = await dial(daemon.port);
    client.send(upgrade(`${path}?q=1`));
    expect(await client.readUntil("?q=1")).toMatch(/mux \/mux\?q=1$/);
  }
}

describe("a target is served that is written as", () => {
  test("4000", async () => serves(["--http", String((await serve()).port)]));
  test(":4000", async () => serves(["--http", `:${(await serve()).port}`]));
  test("host:4000", async () => serves(["--http", `localhost:${(await serve({ host: "localhost" })).port}`]));
  test("http://host:4000", async () => serves(["--http", `http://127.0.0.1:${(await serve()).port}/`]));
  test.skipIf(!hasIPv6)("[::1]:4000", async () => {
    const { port } = await serve({ host: "::1" });
    await serves(["--http", `[::1]:${port}`, "--mux", `[::1]:${port}/mux`], ["/mux"]);
  });
  test("14801/mux, on its own path and on the one agent-orchestrator uses", async () => {
    const { port } = await serve();
    await serves(["--http", String(port), "--mux", `${port}/mux`], ["/mux", "/ao-terminal-mux"]);
  });
  test("ws://host:14801/mux", async () => {
    const { port } = await serve();
    await serves(["--http", String(port), "--mux", `ws://127.0.0.1:${port}/mux`], ["/mux"]);
  });
  test("/term=14801/mux, on that path only", async () => {
    const { port } = await serve();
    const other = await serve();
    await serves(["--http", String(other.port), "--mux", `/term=${port}/mux`], ["/term"]);
  });
  test("unix:/run/app.sock and unix:/run/app.sock:/mux", async () => {
    const path = socketFile();
    await serve({ path });
    await serves(["--http", `unix:${path}`, "--mux", `unix:${path}:/mux`], ["/mux", "/ao-terminal-mux"]);
  });
});

test("several muxes, each on its path", async () => {
  const { port } = await serve();
  await serves(["--http", String(port), "--mux", `/a=${port}/mux`, "--mux", `/b=${port}/mux`], ["/a", "/b"]);
});

test.skipIf(!hasIPv6)("an IPv6 address to listen on is bound, and reached by name of its family", async () => {
  const { port } = await serve();
  const daemon = await startDaemon(["--http", String(port), "--host", "::1"]);
  const client = await dial(daemon.port, "::1");
  client.send(head("GET /six HTTP/1.1", "Host: [::1]"));
  await client.readUntil("web /six");
});

test("every option has a variable in the environment; the command line wins over it", async () => {
  const { port } = await serve();
  const env = {
    NEXT_INTERNAL_PORT: "1",
    DIRECT_TERMINAL_PORT: `/env=${port}/mux`,
    SINGLE_PORT_HOLD: "0",
    HOST: "127.0.0.1",
  };
  await serves(["--http", String(port)], ["/env"], env);
});

test("an empty variable counts as not set", async () => {
  const { port } = await serve();
  const env = {
    NEXT_INTERNAL_PORT: "",
    DIRECT_TERMINAL_PORT: "",
    HOST: "",
    SINGLE_PORT_HOLD: "",
    SINGLE_PORT_TAKEOVER: "",
  };
  await serves(["--http", String(port)], [], env);
  expect((await singlePort([], { NEXT_INTERNAL_PORT: "" })).stderr).toContain("is required");
});
