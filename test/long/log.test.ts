// The log, as it comes out of a running daemon.

import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { startDaemon, type LogLine } from "../kit/daemon.ts";
import { childServer, tempFolder } from "../kit/child.ts";
import { ask, controlSocket, launch, ownRuntime, statusOf } from "../kit/ops.ts";
import { until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, muxUpstream, rawUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 30_000 });

function linesOf(log: string): LogLine[] {
  const lines = readFileSync(log, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as LogLine);
}

test("a line names route, status, bytes, attempts with idle time, who ended it and how, and Cloudflare's id", async () => {
  const web = await rawUpstream((peer) => {
    peer.socket.on("data", (bytes) => {
      if (bytes.includes("/two")) peer.reset();
      else if (bytes.includes("body")) peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  const daemon = await startDaemon(["--http", String(web.port), "--probe-interval", "0"]);
  const client = await dial(daemon.port);
  client.send(head("POST /one HTTP/1.1", "Host: a", "Content-Length: 4", "CF-Ray: 8f-FRA") + "body");
  await client.readUntil(/ok$/);
  const one = await daemon.logged((line) => line["path"] === "/one", "the first request");
  expect(one).toMatchObject({
    kind: "request",
    route: "http",
    method: "POST",
    status: 200,
    ray: "8f-FRA",
    phase: "response_body",
  });
  expect(one).toMatchObject({ bytesIn: 4, bytesOut: 2, by: "upstream", how: "done" });
  expect(one["attempts"]).toEqual([{ reused: false, idleMs: 0, phase: "waiting", times: 1 }]);
  expect(one["ms"]).toBeTypeOf("number");

  client.send(head("GET /two HTTP/1.1", "Host: a"));
  await client.readUntil("upstream_reset");
  const two = await daemon.logged((line) => line["path"] === "/two", "the second request");
  expect(two).toMatchObject({ status: 502, error: "upstream_reset", by: "upstream", how: "rst", phase: "waiting" });
  const attempts = two["attempts"] as { reused: boolean; idleMs: number; code: string; phase: string }[];
  expect(attempts.map(({ reused, code, phase }) => [reused, code, phase])).toEqual([
    [true, "ECONNRESET", "waiting"],
    [false, "ECONNRESET", "waiting"],
    [false, "ECONNRESET", "waiting"],
  ]);
  expect(attempts[0]?.idleMs).toBeGreaterThanOrEqual(0);
  expect(client.received()).toContain(String(two["id"]));
});

test("what the table of bad endings shows has its line in the log, in the same words, in a storm too", async () => {
  const web = await httpUpstream((req, res) => {
    if (req.url === "/500") res.writeHead(500).end();
    else if (req.url === "/reset") req.socket.resetAndDestroy();
    else res.end("ok");
  });
  const env = ownRuntime();
  const targets = ["--http", String(web.port), "--mux", `${await deadPort()}/mux`];
  const daemon = await startDaemon([...targets, "--hold", "0"], env);
  for (let i = 0; i < 30; i += 1) expect((await ask(daemon.port, "/reset")).status).toBe(502);
  expect((await ask(daemon.port, "/500")).status).toBe(500);
  expect((await ask(daemon.port, "/")).status).toBe(200);
  const client = await dial(daemon.port);
  client.send(upgrade("/mux"));
  await client.readUntil("upstream_unavailable");

  const { endedBadly, totals } = await statusOf(controlSocket(env, daemon.port));
  expect(totals.failed).toBe(32);
  // As many as there may be lines of a kind in a second; how many seconds it took is not known.
  expect(endedBadly.length).toBeGreaterThanOrEqual(12);
  const rows = endedBadly.map(({ id, what }) => ({ id, what }));
  await daemon.logged(({ id }) => id === rows[0]?.id, "the line of the last one");
  const lines = daemon.log.filter(({ what }) => what !== undefined).map(({ id, what }) => ({ id, what }));
  expect(rows.toReversed()).toEqual(lines);
  const words = new Set(
    rows.map(({ what }) => what.replaceAll(/\d+(\.\d+)? (ms|s)\b/g, "T").replaceAll(/:\d+/g, ":N")),
  );
  expect(words).toEqual(
    new Set([
      "127.0.0.1:N reset the connection before it responded, 3 times in a row",
      "answered after T",
      "gave up after T: 127.0.0.1:N refuses connections",
    ]),
  );
});

test("--log-level warn shows what needs a person, and nothing of a start, a recovery and a stop", async () => {
  const web = await childServer();
  const args = ["--http", String(web.port), "--probe-interval", "100ms", "--hold", "0"];
  const env = ownRuntime();
  const port = await deadPort();
  const log = join(tempFolder(), "log");
  const out = openSync(log, "w");
  const quiet = ["--log-level", "warn", "--log-format", "json"];
  const { child, exited } = await launch(port, [...args, ...quiet], ["ignore", out, "inherit"], env);
  closeSync(out);
  const control = controlSocket(env, port);
  await until(() => existsSync(control), "the control socket");
  const becomes = async (state: string): Promise<unknown> =>
    await until(async () => (await statusOf(control)).links[0]?.state === state, `the link to be ${state}`, 8000);
  await becomes("up");
  await web.kill("SIGKILL");
  await becomes("reconnecting");
  expect((await ask(port, "/")).status).toBe(503);
  await web.start();
  await becomes("up");
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
  const said = linesOf(log).map(({ level, state, error }) => [level, state ?? error]);
  expect(said).toEqual([
    [40, "suspect"],
    [50, "reconnecting"],
    [40, "upstream_unavailable"],
  ]);
});

test.each(["json", "pretty"])("a query string is in no line, at the lowest level, as %s", async (format) => {
  const web = await httpUpstream((req, res) =>
    req.url?.startsWith("/reset") ? void req.socket.resetAndDestroy() : void res.end("ok"),
  );
  const mux = await muxUpstream();
  const port = await deadPort();
  const log = join(tempFolder(), "log");
  const out = openSync(log, "w");
  const targets = ["--http", String(web.port), "--mux", `${mux.port}/mux`];
  const args = [...targets, "--log-level", "trace", "--access-log", "--log-format", format];
  const { child, exited } = await launch(port, args, ["ignore", out, out], ownRuntime());
  closeSync(out);
  for (const bytes of [
    head(
      "GET /a?token=SECRET HTTP/1.1",
      "Host: a",
      "Referer: http://a/?token=SECRET",
      "Cookie: SECRET",
      "Connection: close",
    ),
    head("GET http://a/b?token=SECRET HTTP/1.1", "Host: a", "Connection: close"),
    head("GET /reset?token=SECRET HTTP/1.1", "Host: a", "Connection: close"),
    head("GET /twice?token=SECRET HTTP/1.1", "Host: a", "Host: b"),
    head("GET /broken?token=SECRET HTTP/1.1", "Host: a", "SECRET"),
    head("CONNECT a?token=SECRET HTTP/1.1", "Host: a"),
    upgrade("/mux?token=SECRET", "Origin: http://elsewhere"),
  ]) {
    const client = await dial(port);
    client.send(bytes);
    await within(client.ended, `an end of ${bytes.slice(0, 30)}`);
  }
  const tunnel = await dial(port);
  tunnel.send(upgrade("/mux?token=SECRET"));
  await tunnel.readUntil("101 Switching");
  tunnel.reset();
  const text = (): string => readFileSync(log, "utf8");
  await until(() => /the client reset the connection|"by":"client","how":"rst"/.test(text()), "the tunnel's line");
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
  expect(text()).toContain("/twice");
  expect(text()).not.toContain("SECRET");
});

test("every line is there when it has ended", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  for (let i = 0; i < 500; i += 1) client.send(head(`GET /${i} HTTP/1.1`, "Host: a"));
  await until(() => client.received().split("200 OK").length === 501, "500 answers", 15_000);
  expect(await daemon.stop()).toBe(0);
  const paths = daemon.log.flatMap((line) => (typeof line["path"] === "string" ? [line["path"]] : []));
  expect(paths).toEqual(Array.from({ length: 500 }, (_, i) => `/${i}`));
  expect(daemon.log.at(-1)?.msg).toBe("stopped");
});

test.skipIf(!existsSync("/dev/full")).each(["json", "pretty"])(
  "a full disk ends nothing, and does not hold up the exit (%s)",
  async (format) => {
    const web = await httpUpstream((_req, res) => res.end("ok"));
    const port = await deadPort();
    const full = openSync("/dev/full", "w");
    const args = ["--http", String(web.port), "--access-log", "--log-format", format];
    const { child, exited } = await launch(port, args, ["ignore", full, "pipe"], ownRuntime());
    closeSync(full);
    for (let i = 0; i < 20; i += 1) expect((await ask(port, "/")).body).toBe("ok");
    child.kill("SIGTERM");
    expect(await within(exited, "exit with a full disk", 3000)).toBe(0);
  },
);

test("a pipe that nobody reads any more ends nothing", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const port = await deadPort();
  const args = ["--http", String(web.port), "--access-log", "--log-format", "json"];
  const { child, exited } = await launch(port, args, ["ignore", "pipe", "inherit"], ownRuntime());
  child.stdout?.destroy();
  for (let i = 0; i < 20; i += 1) expect((await ask(port, "/")).body).toBe("ok");
  child.kill("SIGTERM");
  expect(await within(exited, "exit with a closed pipe", 3000)).toBe(0);
});

test("a parent that stops reading holds up neither requests nor the exit", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const port = await deadPort();
  const args = ["--http", String(web.port), "--access-log", "--log-format", "json"];
  // Never read from: the pipe fills up after about 200 KiB.
  const { child } = await launch(port, args, ["ignore", "pipe", "inherit"], ownRuntime());
  child.stdout?.pause();
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const client = await dial(port);
  const path = `/${"x".repeat(400)}`;
  for (let i = 0; i < 1500; i += 1) client.send(head(`GET ${path} HTTP/1.1`, "Host: a"));
  await until(() => client.received().split("200 OK").length === 1501, "1500 answers", 15_000);
  child.kill("SIGTERM");
  expect(await within(exited, "exit with a full pipe", 3000)).toBe(0);
}, 15_000);
