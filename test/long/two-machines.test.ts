// More than one machine: two proxies behind Caddy, as the README configures it, and one of them goes.

import type { IncomingMessage } from "node:http";
import { expect, test, vi } from "vitest";
import type { WebSocket } from "ws";
import { head } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { FRONTS, noFront, type Front } from "../kit/fronts.ts";
import { every } from "../kit/load.ts";
import { nextResponse } from "../kit/messages.ts";
import { readmeBlock, substitute } from "../kit/readme.ts";
import { closed } from "../kit/tunnel.ts";
import { httpUpstream, muxUpstream, type MuxUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 30_000 });

interface Machine {
  daemon: TestDaemon;
  mux: MuxUpstream;
  /** Answers what waits on /slow. */
  release: (() => void)[];
}

async function machine(name: string): Promise<Machine> {
  const release: (() => void)[] = [];
  const web = await httpUpstream((req, res) => {
    if (req.url === "/slow") release.push(() => res.end(name));
    else res.end(name);
  });
  const mux = await muxUpstream();
  return { daemon: await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`]), mux, release };
}

async function behindCaddy(): Promise<{ front: Front; one: Machine; two: Machine }> {
  const [one, two] = [await machine("one"), await machine("two")];
  const caddyfile = substitute(readmeBlock("caddyfile", "lb_policy"), {
    "10.0.0.1:3000": `127.0.0.1:${one.daemon.port}`,
    "10.0.0.2:3000": `127.0.0.1:${two.daemon.port}`,
  });
  return { front: await FRONTS.Caddy(one.daemon.port, { caddyfile }), one, two };
}

/** A terminal, and what binds it to its machine. */
interface Terminal {
  socket: WebSocket;
  cookie: string;
  closed: Promise<number>;
}

async function terminal(front: Front): Promise<Terminal> {
  const socket = front.open("/mux");
  const answer = new Promise<IncomingMessage>((resolve) => socket.once("upgrade", resolve));
  const end = closed(socket, 20_000);
  end.catch(() => {});
  await within(new Promise((resolve) => socket.once("open", resolve)), "a terminal to open", 8000);
  const cookie = (await answer).headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
  return { socket, cookie, closed: end };
}

/** Terminals on each of the two: Caddy deals them out by chance. */
async function terminals(front: Front, one: Machine): Promise<{ on: Terminal[]; off: Terminal[] }> {
  const on: Terminal[] = [];
  const off: Terminal[] = [];
  while (on.length < 2 || off.length < 2) {
    const before = one.mux.clients.length;
    const next = await terminal(front);
    (one.mux.clients.length > before ? on : off).push(next);
  }
  return { on, off };
}

/** Asks by GET; the body and the status. */
async function get(front: Front, path: string, cookie = ""): Promise<{ status: number; body: string }> {
  const client = await front.dial();
  const fields = [`Host: ${front.host}`, "Connection: close", ...(cookie === "" ? [] : [`Cookie: ${cookie}`])];
  client.send(head(`GET ${path} HTTP/1.1`, ...fields));
  const answered = nextResponse(client, "GET", 15_000).then(({ status, body }) => ({ status, body }));
  return await answered.catch(() => ({ status: 0, body: "" }));
}

test.skipIf(noFront("Caddy"))("a browser stays on its machine", async () => {
  const { front, one } = await behindCaddy();
  const { on, off } = await terminals(front, one);
  for (let n = 0; n < 5; n += 1) {
    expect((await get(front, "/", on[0]?.cookie)).body).toBe("one");
    expect((await get(front, "/", off[0]?.cookie)).body).toBe("two");
  }
});

test.skipIf(noFront("Caddy"))(
  "one is stopped: its terminals are told 1001 and get to the other, no request fails",
  async () => {
    const { front, one, two } = await behindCaddy();
    const { on, off } = await terminals(front, one);
    const load = every(40, () => get(front, "/"));
    const slow = get(front, "/slow", on[0]?.cookie);
    await until(() => one.release.length === 1, "a request in flight");
    const stopped = one.daemon.stop();
    await one.daemon.logged(({ msg }) => msg === "draining", "the drain");
    one.release[0]?.();
    expect(await slow).toEqual({ status: 200, body: "one" });
    expect(await Promise.all(on.map((each) => each.closed))).toEqual(on.map(() => 1001));
    expect(await stopped).toBe(0);

    const before = two.mux.clients.length;
    for (let n = 0; n < 4; n += 1) await terminal(front);
    expect(two.mux.clients.length).toBe(before + 4);
    expect((await get(front, "/", on[0]?.cookie)).body).toBe("two");
    for (const { socket } of off) expect(socket.readyState).toBe(socket.OPEN);
    const answers = await load.stop();
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  },
);

test.skipIf(noFront("Caddy"))(
  "one is killed: its terminals end with 1006 and get to the other, nothing new fails",
  async () => {
    const { front, one, two } = await behindCaddy();
    const { on, off } = await terminals(front, one);
    one.daemon.child.kill("SIGKILL");
    await one.daemon.exited;
    const load = every(40, () => get(front, "/"));
    expect(await Promise.all(on.map((each) => each.closed))).toEqual(on.map(() => 1006));
    const before = two.mux.clients.length;
    for (let n = 0; n < 4; n += 1) await terminal(front);
    expect(two.mux.clients.length).toBe(before + 4);
    await until(() => load.begun() >= 20, "some requests");
    const answers = await load.stop();
    expect(answers.map(({ body }) => body)).toEqual(answers.map(() => "two"));
    for (const { socket } of off) expect(socket.readyState).toBe(socket.OPEN);
  },
);
