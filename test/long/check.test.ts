import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { WebSocketServer } from "ws";
import { singlePort } from "../kit/command.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ownRuntime } from "../kit/ops.ts";
import { deadPort, httpUpstream, noIPv6 } from "../kit/upstream.ts";

/** A mux on /mux, until the test ends. */
async function muxServer(host = "127.0.0.1"): Promise<{ port: number; opened: () => number; closes: number[] }> {
  const server = new WebSocketServer({ port: 0, host, path: "/mux" });
  let opened = 0;
  const closes: number[] = [];
  server.on("connection", (ws) => {
    opened += 1;
    ws.on("close", (code) => closes.push(code));
  });
  await once(server, "listening");
  onTestFinished(() => server.close());
  return { port: (server.address() as AddressInfo).port, opened: () => opened, closes };
}

const check = (...args: (string | number)[]): ReturnType<typeof singlePort> =>
  singlePort(["check", "--port", "0", "--connect-timeout", "1s", ...args.map(String)]);

test("prints what would run and what came back, and exits 0: one page, one handshake", async () => {
  const urls: unknown[] = [];
  const web = await httpUpstream((req, res) => {
    urls.push(req.url);
    res.end();
  });
  const mux = await muxServer();
  const { code, stdout, stderr } = await check("--http", web.port, "--mux", mux.port);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toBe(
    "would listen on 127.0.0.1:0\n" +
      `HTTP → 127.0.0.1:${web.port}: answers 200 OK\n` +
      `/ao-terminal-mux, /mux → 127.0.0.1:${mux.port}/mux: answers 101 Switching Protocols\n`,
  );
  expect([urls, mux.opened(), mux.closes]).toEqual([["/"], 1, [1000]]);
});

test.skipIf(noIPv6)("a bare port is asked where the proxy would find it: on ::1, if only that answers", async () => {
  const web = createServer((_req, res) => void res.end()).listen(0, "::1");
  onTestFinished(() => void web.close());
  await once(web, "listening");
  const { port } = web.address() as AddressInfo;
  const mux = await muxServer("::1");
  const { code, stdout } = await check("--http", port, "--mux", mux.port);
  expect(stdout).toContain(`HTTP → [::1]:${port}: answers 200 OK\n`);
  expect(stdout).toContain(`/mux → [::1]:${mux.port}/mux: answers 101 Switching Protocols\n`);
  expect(code).toBe(0);
  const given = await check("--http", `127.0.0.1:${port}`);
  expect(given.stdout).toContain(`HTTP → 127.0.0.1:${port}: cannot be reached (ECONNREFUSED)`);
});

test("an upstream that does not answer: which one, exit 78", async () => {
  const web = await httpUpstream((_req, res) => res.end());
  const dead = await deadPort();
  const { code, stdout } = await check("--http", web.port, "--mux", `${dead}/mux`);
  expect(code).toBe(78);
  expect(stdout).toContain(`HTTP → 127.0.0.1:${web.port}: answers 200 OK`);
  expect(stdout).toContain(`127.0.0.1:${dead}/mux: cannot be reached (ECONNREFUSED)`);
});

test("swapped targets are noticed from both sides, exit 78", async () => {
  const web = await httpUpstream((_req, res) => res.end());
  web.server.on("upgrade", (_req, socket) => socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
  const mux = await muxServer();
  const { code, stdout } = await check("--http", mux.port, "--mux", web.port);
  expect(code).toBe(78);
  expect(stdout).toContain(`answers 404 Not Found; 127.0.0.1:${mux.port} opens one. Are --http and --mux swapped?`);
});

test("a server that speaks TLS is told, exit 78", async () => {
  // It has no certificate, so no handshake succeeds.
  const tls = createTlsServer();
  tls.listen(0, "127.0.0.1");
  await once(tls, "listening");
  onTestFinished(() => void tls.close());
  const { port } = tls.address() as AddressInfo;
  const { code, stdout } = await check("--http", port, "--mux", port);
  expect(code).toBe(78);
  expect(stdout.match(/it speaks TLS/g)).toHaveLength(2);
});

test("a port in use: what holds it, exit 78; 0 when one of ours would hand it over", async () => {
  const env = ownRuntime();
  const web = await httpUpstream((_req, res) => res.end());
  const older = await startDaemon(["--http", String(web.port)], env);
  const args = ["check", "--http", String(web.port), "--port"];
  const busy = await singlePort([...args, String(older.port)], env);
  expect(busy.code).toBe(78);
  expect(busy.stdout).toContain(
    `127.0.0.1:${older.port}: address already in use (EADDRINUSE); a single-port of this user`,
  );
  const over = await singlePort([...args, String(older.port), "--takeover"], env);
  expect([over.code, over.stdout]).toEqual([0, expect.stringContaining("which a running single-port hands over")]);
  const stranger = await singlePort([...args, String(web.port), "--http", "1"], env);
  expect([stranger.code, stranger.stdout]).toEqual([78, expect.stringContaining("(EADDRINUSE)\n")]);
});
