// The admin server: what it answers on each address, and that the public port has none of it.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { singlePort } from "../kit/command.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { tempFolder } from "../kit/child.ts";
import { accepts, ask, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { resetWithinFrame } from "../kit/tunnel.ts";
import { until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, muxUpstream } from "../kit/upstream.ts";

vi.setConfig({ testTimeout: 60_000 });

/** A daemon whose upstreams are up, and what it is asked on. */
async function serving(...args: string[]): Promise<{ daemon: TestDaemon; control: string }> {
  const web = await httpUpstream((req, res) => res.end(`upstream ${req.url}`));
  const mux = await muxUpstream();
  const env = ownRuntime();
  const targets = ["--http", String(web.port), "--mux", `${mux.port}/mux`, "--probe-interval", "10s"];
  const daemon = await startDaemon([...targets, ...args], env);
  const control = controlSocket(env, daemon.port);
  await until(async () => existsSync(control) && (await ask(control, "/ready")).status === 200, "ready", 8000);
  return { daemon, control };
}

/** Where it says that it answers operators. */
async function adminPort(daemon: TestDaemon): Promise<number> {
  const line = await daemon.logged(({ msg }) => msg.startsWith("admin on"), "where admin is");
  return Number(/:(\d+)$/.exec(line.msg)?.[1]);
}

const types: [path: string, type: RegExp, body: RegExp][] = [
  ["/live", /^text\/plain/, /^live\n$/],
  ["/ready", /^application\/json/, /^\{"ready":true,"reasons":\[\]\}\n$/],
  ["/status", /^application\/json/, /^\{"name":"single-port",.*"state":"running"/],
  ["/metrics", /^text\/plain; version=0\.0\.4/, /^single_port_upstream_up\{upstream="http"\} 1$/m],
  ["/", /^text\/html/, /^<!doctype html>/],
];

async function checkEverything(at: number | string): Promise<void> {
  for (const [path, type, body] of types) {
    const answer = await ask(at, path);
    expect([path, answer.status]).toEqual([path, 200]);
    expect(answer.headers["content-type"]).toMatch(type);
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(answer.headers["x-content-type-options"]).toBe("nosniff");
    expect(answer.body).toMatch(body);
    expect(await ask(at, `${path}?a=1`)).toMatchObject({ status: 200 });

    const bare = await ask(at, path, "HEAD");
    expect([path, bare.status, bare.body]).toEqual([path, 200, ""]);
    expect(bare.headers["content-type"]).toBe(answer.headers["content-type"]);
    expect(Number(bare.headers["content-length"])).toBeGreaterThan(0);

    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const refused = await ask(at, path, method);
      expect([method, path, refused.status]).toEqual([method, path, 405]);
      expect(refused.headers.allow).toBe("GET, HEAD");
    }
  }
  expect(await ask(at, "/events", "HEAD")).toMatchObject({ status: 200, body: "" });
  for (const path of ["/nothing", "/live/", "//live", "/%6Cive", "/../status"]) {
    expect([path, (await ask(at, path)).status]).toEqual([path, 404]);
  }
}

test("everything on --admin PORT, which is on loopback", async () => {
  const { daemon } = await serving("--admin", "0");
  const port = await adminPort(daemon);
  expect(daemon.log.some(({ msg }) => msg === `admin on 127.0.0.1:${port}`)).toBe(true);
  await checkEverything(port);
  expect((await ask(port, "/drain", "POST")).status).toBe(404);
});

test("everything on --admin HOST:PORT", async () => {
  const { daemon } = await serving("--admin", "127.0.0.1:0");
  await checkEverything(await adminPort(daemon));
});

test("everything on --admin unix:PATH, and the socket is gone when it has ended", async () => {
  const path = join(tempFolder(), "admin.sock");
  const { daemon } = await serving("--admin", `unix:${path}`);
  await checkEverything(path);
  expect(await daemon.stop()).toBe(0);
  expect(existsSync(path)).toBe(false);
});

test("--admin unix:PATH is taken from one that was killed, not from one that answers", async () => {
  const path = join(tempFolder(), "admin.sock");
  const { daemon } = await serving("--admin", `unix:${path}`);
  const args = ["--http", "1", "--port", "0", "--admin", `unix:${path}`];
  expect(await singlePort(args, ownRuntime())).toMatchObject({ code: 78, stdout: "" });
  expect((await statusOf(path)).pid).toBe(daemon.pid);
  daemon.child.kill("SIGKILL");
  await daemon.exited;
  expect(existsSync(path)).toBe(true);
  const { daemon: next } = await serving("--admin", `unix:${path}`);
  expect((await statusOf(path)).pid).toBe(next.pid);
});

test("everything on the control socket, where it can be told to drain, too", async () => {
  const { daemon, control } = await serving();
  await checkEverything(control);
  expect(await ask(control, "/drain")).toMatchObject({ status: 405, headers: { allow: "POST" } });
  expect((await ask(control, "/drain", "POST")).status).toBe(202);
  expect(await within(daemon.exited, "end after /drain", 5000)).toBe(0);
});

test("nothing of it answers on the public port: every path goes to the upstream", async () => {
  const { daemon } = await serving("--admin", "0");
  for (const path of [...types.map(([path]) => path), "/events", "/drain"]) {
    expect([path, (await ask(daemon.port, path)).body]).toEqual([path, `upstream ${path}`]);
  }
  expect((await ask(daemon.port, "/drain", "POST")).body).toBe("upstream /drain");
  expect(await accepts(daemon.port)).toBe(true);
});

test("/events begins with the past, then a report each second; a reader that leaves ends nothing", async () => {
  const { control, daemon } = await serving("--admin", "0");
  const client = await dial(await adminPort(daemon));
  client.send(head("GET /events HTTP/1.1", "Host: localhost"));
  const text = await client.readUntil(/(^data: \{.*){3}/ms, 5000);
  expect(text).toMatch(/content-type: text\/event-stream/i);
  expect(text).toMatch(/^event: seconds\r?\ndata: \[/m);
  const reports = [...text.matchAll(/^data: (\{.*\})$/gm)].map(
    ([, json]) => JSON.parse(json ?? "") as { ready: unknown },
  );
  expect(reports[0]?.ready).toEqual({ ready: true, reasons: [] });
  client.reset();
  await until(async () => (await ask(control, "/live")).status === 200, "still live");
});

test("tunnels stand in the order in which they were opened, also when one of them has ended", async () => {
  const { daemon, control } = await serving();
  const ids = async (): Promise<string[]> => (await statusOf(control)).tunnels.map(({ id }) => id);
  const open = async (): Promise<RawClient> => {
    const tunnel = await dial(daemon.port);
    tunnel.send(upgrade("/mux"));
    await tunnel.readUntil("101 Switching");
    // They are as old as the last tick of a clock of 50 ms.
    await until(async () => (await statusOf(control)).tunnels.every(({ ageMs }) => ageMs > 60), "the next moment");
    return tunnel;
  };
  const first = await open();
  await open();
  await open();
  const [, second, third] = await ids();
  first.reset();
  await until(async () => (await ids()).length === 2, "its end");
  expect(await ids()).toEqual([second, third]);
});

test("what time it is for the proxy can be told from status, near enough", async () => {
  const { control } = await serving();
  const before = Date.now();
  const { at } = await statusOf(control);
  const now = Date.parse(at);
  // It runs by the monotonic clock, which may be a little off by now.
  expect(now).toBeGreaterThanOrEqual(before - 50);
  expect(now).toBeLessThanOrEqual(Date.now() + 50);
});

test("status tells of tunnels and of what ended badly, without a query string", async () => {
  const { daemon, control } = await serving();
  const tunnel = await dial(daemon.port);
  tunnel.send(
    head(
      "GET /mux?token=SECRET HTTP/1.1",
      "Host: a",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
  );
  await tunnel.readUntil("101 Switching");
  // A text frame, "hi", masked with zeros.
  tunnel.send(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  await tunnel.readUntil(/hi$/);
  const open = await statusOf(control);
  expect(open.tunnels).toMatchObject([{ route: "mux", path: "/mux", client: { bytes: 8 }, upstream: { bytes: 4 } }]);
  expect(open.links.map(({ name, state, tunnels }) => [name, state, tunnels])).toEqual([
    ["http", "up", 0],
    ["mux", "up", 1],
  ]);
  expect(open).toMatchObject({ pid: daemon.pid, listening: `127.0.0.1:${daemon.port}`, state: "running" });
  await resetWithinFrame(daemon, tunnel);
  const after = await until(async () => {
    const now = await statusOf(control);
    return now.endedBadly.length > 0 && now;
  }, "the end of the tunnel");
  expect(after.tunnels).toEqual([]);
  expect(after.endedBadly).toMatchObject([
    { kind: "tunnel", route: "mux", path: "/mux", by: "client", how: "rst", phase: "tunnel" },
  ]);
  expect(after.totals.endings["client rst"]).toBe(1);
  expect(JSON.stringify(after)).not.toContain("SECRET");
});

test("while it drains, /ready says so, until the very end", async () => {
  const web = await httpUpstream((req, res) => void (req.url === "/slow" || res.end("ok")));
  const admin = await deadPort();
  const env = ownRuntime();
  const args = ["--http", String(web.port), "--admin", String(admin), "--drain", "8s"];
  const daemon = await startDaemon(args, env);
  const client = await dial(daemon.port);
  const asked = new Promise<() => void>((resolve) =>
    web.server.once("request", (_req, res) => resolve(() => res.end("done"))),
  );
  client.send(head("GET /slow HTTP/1.1", "Host: a"));
  const finish = await within(asked, "the request to arrive");
  daemon.child.kill("SIGTERM");
  onTestFinished(finish);
  const answer = await until(async () => {
    const now = await ask(admin, "/ready");
    return now.status === 503 && now;
  }, "not ready");
  expect(JSON.parse(answer.body)).toEqual({ ready: false, reasons: ["this proxy is draining"] });
  expect((await ask(admin, "/live")).status).toBe(200);
  expect((await statusOf(admin)).state).toBe("draining");
  finish();
  await client.readUntil("done");
  expect(await within(daemon.exited, "exit")).toBe(0);
});
