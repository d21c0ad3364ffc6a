// Health never lies: at each step of the two stories of electric 4343 (and of a frozen server) /ready and /status say
// what is true within one probe, with a reason; /live never fails because of an upstream.

import { existsSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";
import { childServer } from "../kit/child.ts";
import { dial, upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { openStream } from "../kit/events.ts";
import { answerPings } from "../kit/frames.ts";
import { ask, controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { openRaw, openWs } from "../kit/tunnel.ts";
import { until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, rawUpstream } from "../kit/upstream.ts";
import type { LinkReport } from "../../src/ops/report.ts";

vi.setConfig({ testTimeout: 60_000 });

/** What operators are told at one moment. */
interface Health {
  ready: boolean;
  reasons: string[];
  state: string;
}

/** Starts a proxy, and a way to wait for what it says of itself. */
async function watched(args: string[]): Promise<{
  daemon: Awaited<ReturnType<typeof startDaemon>>;
  control: string;
  says: (state: string, reason: RegExp | undefined, ms?: number) => Promise<void>;
}> {
  const env = ownRuntime();
  const daemon = await startDaemon(args, env);
  const control = controlSocket(env, daemon.port);
  await until(() => existsSync(control), "the control socket");
  const now = async (): Promise<Health> => {
    const [ready, status, live] = await Promise.all([ask(control, "/ready"), statusOf(control), ask(control, "/live")]);
    expect(live.status).toBe(200);
    const body = JSON.parse(ready.body) as { ready: boolean; reasons: string[] };
    expect(ready.status).toBe(body.ready ? 200 : 503);
    return { ...body, state: status.links[0]?.state ?? "none" };
  };
  return {
    daemon,
    control,
    says: async (state, reason, ms = 3000) => {
      let last: Health | undefined;
      const there = async (): Promise<boolean> => {
        last = await now();
        const said = reason === undefined ? last.ready : !last.ready && reason.test(last.reasons.join());
        return said && last.state === state;
      };
      await until(there, `${state}, ${String(reason)}`, ms).catch((error: Error) => {
        throw new Error(`${error.message}; said ${JSON.stringify(last)}`);
      });
    },
  };
}

const REFUSED = (words: string): RegExp =>
  new RegExp(`^upstream http \\(127\\.0\\.0\\.1:\\d+\\) ${words}: nothing listens there \\(ECONNREFUSED\\)$`);

test.each<[NodeJS.Signals, string]>([
  ["SIGKILL", "killed with -9"],
  ["SIGINT", "ended by Ctrl-C, waiting for its streams"],
])("an upstream that was up, is %s (%s), and comes back", async (signal) => {
  const web = await childServer();
  const { control, daemon, says } = await watched(["--http", String(web.port), "--probe-interval", "300ms"]);
  await says("up", undefined);
  const up = await statusOf(control);
  expect(up.links[0]).toMatchObject({ lastProbeOk: true, reconnectCount: 0 });
  const stream = await openStream(daemon.port);

  web.signal(signal);
  await says("suspect", REFUSED("has just failed once"));
  await says("reconnecting", REFUSED("cannot be reached"));
  const down = (await statusOf(control)).links[0];
  expect(down).toMatchObject({ lastProbeOk: false, lastError: "ECONNREFUSED" });
  expect(down?.connectedSince).toBeUndefined();
  // Nobody says "streaming" of a stream whose server is gone.
  await within(stream.ended, "the stream to end");
  // The client may have all of the stream a moment before the proxy has forgotten the exchange.
  await until(async () => (await statusOf(control)).requests === 0, "the end of the exchange");

  await web.kill();
  const restarted = Date.now();
  await web.start();
  await says("up", undefined, 8000);
  const back = (await statusOf(control)).links[0];
  expect(back?.reconnectCount).toBe(1);
  expect(back?.reconnectTries).toBeGreaterThanOrEqual(1);
  expect(Date.parse(back?.connectedSince ?? "")).toBeGreaterThanOrEqual(restarted);
  expect(back?.lastError).toBeUndefined();
  expect(back?.history.map(({ state }) => state)).toEqual(["up", "suspect", "reconnecting", "up"]);
  expect((await ask(daemon.port, "/")).status).toBe(200);
});

test("a frozen upstream, with --http-probe: not ready after one probe, and ready again when it goes on", async () => {
  const web = await childServer();
  const args = ["--http", String(web.port), "--probe-interval", "300ms", "--http-probe", "/"];
  const { says } = await watched(args);
  await says("up", undefined);
  web.signal("SIGSTOP");
  onTestFinished(() => web.signal("SIGCONT"));
  // The rest of an interval, and a probe of 3 s.
  await says("suspect", /^upstream http \([\d.:]+\) has just failed once: no answer within 3000 ms$/, 6000);
  web.signal("SIGCONT");
  await says("up", undefined, 6000);
});

test.each([
  ["web server", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0],
  ["mux", upgrade(), 1],
])(
  "a frozen %s without --http-probe: a 504 is the first sign, then it is asked, and asked until it is back",
  async (_name, request, index) => {
    const frozen = await childServer();
    const limits = ["--response-timeout", "300ms", "--handshake-timeout", "300ms", "--probe-interval", "10s"];
    const { control, daemon } = await watched([
      "--http",
      String(frozen.port),
      "--mux",
      `${frozen.port}/mux`,
      ...limits,
    ]);
    const link = async (): Promise<LinkReport | undefined> => (await statusOf(control)).links[index];
    await until(async () => (await link())?.state === "up", "up");
    frozen.signal("SIGSTOP");
    onTestFinished(() => frozen.signal("SIGCONT"));
    const client = await dial(daemon.port);
    client.send(request);
    expect(await client.readUntil("upstream_timeout")).toContain("504");
    await until(async () => (await link())?.state === "suspect", "suspect", 6000);
    expect((await link())?.lastError).toBe("no answer within 3000 ms");
    frozen.signal("SIGCONT");
    await until(async () => (await link())?.state === "up", "up again", 8000);
  },
);

test("one answer that takes too long, of a web server that gives others: asked for a byte, it is still up", async () => {
  const web = await httpUpstream(() => {});
  const args = ["--http", String(web.port), "--response-timeout", "300ms", "--probe-interval", "10s"];
  const { control, daemon } = await watched(args);
  const link = async (): Promise<LinkReport | undefined> => (await statusOf(control)).links[0];
  await until(async () => (await link())?.state === "up", "up");
  const probed = (await link())?.lastProbeAt;
  expect((await ask(daemon.port, "/slow")).status).toBe(504);
  await until(async () => (await link())?.lastProbeAt !== probed, "another probe");
  expect(await link()).toMatchObject({ state: "up", lastProbeOk: true });
  expect((await link())?.history.map(({ state }) => state)).toEqual(["up"]);
});

const FROZEN = ["--ping-interval", "300ms", "--ping-timeout", "500ms", "--probe-interval", "300ms"];

test("a frozen mux: not ready when a ping is not answered, for as long as it is, and ready again when it goes on", async () => {
  const mux = await childServer();
  const { control, daemon, says } = await watched(["--http", String(mux.port), "--mux", `${mux.port}/mux`, ...FROZEN]);
  await says("up", undefined);
  const muxLink = async (): Promise<LinkReport | undefined> => (await statusOf(control)).links[1];
  await openWs(daemon);
  mux.signal("SIGSTOP");
  onTestFinished(() => mux.signal("SIGCONT"));
  const reasons = await until(async () => {
    const body = JSON.parse((await ask(control, "/ready")).body) as { ready: boolean; reasons: string[] };
    return !body.ready && body.reasons;
  }, "not ready");
  expect(reasons.join()).toMatch(
    /^upstream mux \([\d.:]+\) has just failed once: it accepts connections, but does not/,
  );
  // Its kernel takes the connections of all probes meanwhile, and of a handshake.
  void dial(daemon.port).then((client) => client.send(upgrade()));
  await until(async () => (await muxLink())?.state === "reconnecting", "two failures", 8000);
  expect((await muxLink())?.lastError).toBe("no answer within 3000 ms");
  mux.signal("SIGCONT");
  await until(async () => (await muxLink())?.state === "up", "up again", 8000);
  await says("up", undefined);
  const { history } = (await muxLink()) as LinkReport;
  expect(history.map(({ state }) => state)).toEqual(["up", "suspect", "reconnecting", "up"]);
});

test("a frozen mux without probes: an answered handshake makes it ready again", async () => {
  const mux = await childServer();
  const args = ["--http", String(mux.port), "--mux", `${mux.port}/mux`, ...FROZEN, "--probe-interval", "0"];
  const { control, daemon } = await watched(args);
  const state = async (): Promise<string | undefined> => (await statusOf(control)).links[1]?.state;
  await openWs(daemon);
  mux.signal("SIGSTOP");
  onTestFinished(() => mux.signal("SIGCONT"));
  await until(async () => (await state()) === "suspect", "suspect");
  mux.signal("SIGCONT");
  await openWs(daemon);
  expect(await state()).toBe("up");
});

test("one tunnel that answers no ping, beside one that does: the mux is there", async () => {
  const upstream = await rawUpstream();
  const args = ["--http", String(upstream.port), "--mux", `${upstream.port}/mux`, ...FROZEN, "--probe-interval", "0"];
  const { control, daemon } = await watched(args);
  const living = await openRaw(daemon, upstream);
  answerPings(living.client, true);
  answerPings(living.mux, false);
  const dead = await openRaw(daemon, upstream);
  answerPings(dead.client, true);
  await daemon.logged(({ how }) => how === "no_pong", "the dead tunnel");
  await until(async () => (await statusOf(control)).links[1]?.state === "up", "up");
  expect((await ask(control, "/ready")).body).not.toContain("upstream mux");
});

test("an upstream that answers a probe with an error is not ready, and says which", async () => {
  let status = 503;
  const web = await httpUpstream((_req, res) => res.writeHead(status).end());
  const args = ["--http", String(web.port), "--probe-interval", "100ms", "--http-probe", "/health"];
  const { says } = await watched(args);
  await says("connecting", /^upstream http \([\d.:]+\) has not been reached yet: status 503$/);
  status = 404;
  await says("up", undefined, 8000);
  status = 500;
  await says("reconnecting", /cannot be reached: status 500$/, 8000);
});

test("an upstream that has never been there: connecting, not ready, live; the first sight of it makes it ready", async () => {
  const port = await deadPort();
  const { says } = await watched(["--http", String(port), "--probe-interval", "200ms"]);
  await says("connecting", REFUSED("has not been reached yet"));
  await httpUpstream((_req, res) => res.end(), port);
  await says("up", undefined, 8000);
});

test("without probes, a request that fails makes it not ready at once, and one that is served makes it ready", async () => {
  const web = await childServer();
  const { daemon, says } = await watched(["--http", String(web.port), "--probe-interval", "0", "--hold", "5s"]);
  await says("connecting", /has not been reached yet$/);
  expect((await ask(daemon.port, "/")).status).toBe(200);
  await says("up", undefined);
  await web.kill();
  const client = await dial(daemon.port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await says("suspect", REFUSED("has just failed once"));
  await web.start();
  await client.readUntil("200 OK", 8000);
  await says("up", undefined);
});

test("a connection that stands is no byte that was heard", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const { control, daemon, says } = await watched(["--http", String(web.port), "--probe-interval", "50ms"]);
  await says("up", undefined);
  expect((await statusOf(control)).links[0]?.lastHeardAgeMs).toBeUndefined();
  await ask(daemon.port, "/");
  const probed = (await statusOf(control)).links[0]?.lastProbeAt;
  const link = await until(async () => {
    const now = (await statusOf(control)).links[0];
    return now?.lastProbeAt !== probed && now;
  }, "another probe");
  expect(link.lastHeardAgeMs).toBeGreaterThan(30);
});

test("each upstream has its own reason", async () => {
  const web = await httpUpstream((_req, res) => res.end());
  const muxes = ["--mux", `/a=${await deadPort()}/x`, "--mux", `/b=unix:/nowhere/mux.sock:/x`];
  const { control } = await watched(["--http", String(web.port), ...muxes, "--probe-interval", "100ms"]);
  const reasons = await until(async () => {
    const body = JSON.parse((await ask(control, "/ready")).body) as { reasons: string[] };
    return body.reasons.length === 2 && body.reasons.every((text) => text.includes("(E")) && body.reasons;
  }, "two reasons");
  expect(reasons[0]).toMatch(/^upstream mux \(127\.0\.0\.1:\d+\) has not been reached yet: nothing listens there/);
  expect(reasons[1]).toMatch(
    /^upstream mux2 \(unix:\/nowhere\/mux\.sock\) has not been reached yet: the socket does not exist/,
  );
});
