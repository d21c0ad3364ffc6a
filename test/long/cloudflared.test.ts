// Behind cloudflared, as the README configures it (a stand-in: test/kit/cloudflared.ts).

import { createHash } from "node:crypto";
import { request, type IncomingMessage } from "node:http";
import { expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { optionTable } from "../../src/options/options.ts";
import { startCloudflared, type Cloudflared, type IngressRule } from "../kit/cloudflared.ts";
import { faultsIn, startDaemon, type LogLine } from "../kit/daemon.ts";
import { noYaml, parseYaml, readmeBlock, substitute } from "../kit/readme.ts";
import { httpUpstream, muxUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const HOST = "dash.example.org";

/** The rules that the README prints, for this port. */
function ingress(port = 3000): IngressRule[] {
  const text = substitute(readmeBlock("yaml", "ingress:"), { "127.0.0.1:3000": `127.0.0.1:${port}` });
  const [config] = parseYaml(text) as { ingress: IngressRule[] }[];
  return config?.ingress ?? [];
}

/** An option's default, as the README has it. */
function defaultOf(option: string): string | undefined {
  const row = optionTable()
    .split("\n")
    .find((line) => line.includes(`${option}\``));
  return row?.split("|")[3]?.trim().replaceAll("`", "");
}

/** What became of an exchange. */
interface Got {
  id: string;
  status: number;
  body: Buffer;
  complete: boolean;
}

function ask(port: number, id: string, method: string, path: string, host = HOST): Promise<Got> {
  const body: Buffer[] = [];
  return new Promise((resolve) => {
    let answer: IncomingMessage | undefined;
    const end = (): void => {
      const { statusCode: status = 0, complete = false } = answer ?? {};
      resolve({ id, status, body: Buffer.concat(body), complete });
    };
    const headers = { Host: host, "X-Id": id };
    const asked = request({ port, host: "127.0.0.1", agent: false, method, path, headers }, (res) => {
      answer = res;
      res.on("data", (chunk: Buffer) => body.push(chunk));
      res.on("close", end);
      res.on("error", () => {});
    });
    asked.on("error", end);
    asked.end(method === "POST" ? `id=${id}` : undefined);
  });
}

const DOWNLOAD = Buffer.alloc(500_000, "download ");
const EVENTS = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** A dashboard with a page, a form, a download and events. */
async function dashboard(acted: string[]): Promise<number> {
  const web = await httpUpstream((req, res) => {
    if (req.url === "/download") return res.end(DOWNLOAD);
    if (req.url === "/events") {
      res.setHeader("Content-Type", "text/event-stream");
      const lines = EVENTS.split(/(?<=\n\n)/);
      const timer = setInterval(() => {
        const line = lines.shift();
        if (line === undefined) res.end();
        else res.write(line);
      }, 5);
      return res.on("close", () => clearInterval(timer));
    }
    req.resume();
    return req.on("end", () => {
      if (req.method === "POST" && req.complete) acted.push(String(req.headers["x-id"]));
      res.end("page");
    });
  });
  return web.port;
}

/** A tunnel through which numbers are echoed, for as long as it is told; how many came back, and how it ended. */
function tunnel(port: number, id: string, rounds: number): Promise<{ id: string; echoed: number; code: number }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mux`, {
    headers: { Host: HOST, "X-Id": id },
    origin: `https://${HOST}`,
  });
  let echoed = 0;
  socket.on("error", () => {});
  socket.on("open", () => socket.send("0"));
  socket.on("message", (data: Buffer) => {
    if (data.toString() !== String(echoed)) return socket.close(4000);
    echoed += 1;
    if (echoed === rounds) return socket.close(1000);
    return socket.send(String(echoed));
  });
  return new Promise((resolve) => socket.on("close", (code) => resolve({ id, echoed, code })));
}

const isExchange = ({ msg }: LogLine): boolean => /^(request|tunnel) ended$/.test(msg);

test.skipIf(noYaml)("the ingress of the README: its hostname is served, any other is not", async () => {
  const [served, rest] = ingress();
  const { protocol, hostname, port } = new URL(served?.service ?? "");
  expect([protocol, hostname, port]).toEqual(["http:", defaultOf("--host <addr>"), defaultOf("--port <n>")]);
  expect(rest, "cloudflared wants a last rule for everything").toEqual({ service: "http_status:404" });

  const daemon = await startDaemon(["--http", String(await dashboard([]))]);
  const cloudflared = await startCloudflared(ingress(daemon.port));
  expect(await ask(cloudflared.port, "a", "GET", "/")).toMatchObject({ status: 200 });
  expect(await ask(cloudflared.port, "b", "GET", "/", "other.example.org")).toMatchObject({ status: 404 });
  const line = await daemon.logged(isExchange, "the one request");
  expect(line["ray"]).toBe("a");
});

test.skipIf(noYaml)(
  "resets of idle and of busy connections hurt nobody but those whose connection it was",
  async () => {
    const acted: string[] = [];
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", String(await dashboard(acted)), "--mux", `${mux.port}/mux`]);
    const baseline = await daemon.settledSockets();
    const chaos = { seed: 20_261_122, idle: 0.3, busy: 0.08, withinMs: 15 };
    const cloudflared: Cloudflared = await startCloudflared(ingress(daemon.port), { chaos });

    const kinds = [
      ["GET", "/"],
      ["POST", "/"],
      ["GET", "/download"],
      ["GET", "/events"],
    ] as const;
    const visitor = async (name: number): Promise<Got[]> => {
      const got: Got[] = [];
      for (let n = 0; n < 60; n += 1) {
        const [method, path] = kinds[(n + name) % kinds.length] ?? kinds[0];
        got.push(await ask(cloudflared.port, `${name}-${n}-${method}-${path}`, method, path));
      }
      return got;
    };
    const terminal = async (name: number): Promise<Awaited<ReturnType<typeof tunnel>>[]> => {
      const got = [];
      for (let n = 0; n < 20; n += 1) got.push(await tunnel(cloudflared.port, `t${name}-${n}`, 20));
      return got;
    };
    const names = [...Array(10).keys()];
    const [requests, tunnels] = await Promise.all([
      Promise.all(names.map(visitor)).then((all) => all.flat()),
      Promise.all(names.map(terminal)).then((all) => all.flat()),
    ]);

    const { broken, idle } = cloudflared.caused;
    const expected = {
      "/": hash(Buffer.from("page")),
      "/download": hash(DOWNLOAD),
      "/events": hash(Buffer.from(EVENTS)),
    };
    for (const { id, status, body, complete } of requests) {
      if (broken.has(id)) continue;
      const path = id.slice(id.indexOf("/")) as keyof typeof expected;
      expect({ id, status, complete, hash: hash(body) }).toEqual({
        id,
        status: 200,
        complete: true,
        hash: expected[path],
      });
    }
    for (const { id, echoed, code } of tunnels) {
      if (!broken.has(id)) expect({ id, echoed, code }).toEqual({ id, echoed: 20, code: 1000 });
    }
    // It did do harm, and of both kinds.
    expect(broken.size).toBeGreaterThan(10);
    expect(idle).toBeGreaterThan(10);
    const posts = requests.filter(({ id }) => id.includes("POST"));
    expect(new Set(acted).size, "no POST twice").toBe(acted.length);
    for (const { id } of posts.filter(({ status }) => status === 200)) expect(acted).toContain(id);

    // Whatever ended badly was its doing, and nothing is left of it.
    await until(() => daemon.sockets() <= baseline + cloudflared.open() + mux.clients.length, "sockets to close");
    const badly = daemon.log.filter((line) => isExchange(line) && line["how"] !== "done" && line["how"] !== "fin");
    for (const line of badly) expect(broken, JSON.stringify(line)).toContain(line["ray"]);
    expect(faultsIn(daemon.log)).toEqual([]);
    expect(daemon.stderr()).toBe("");
  },
);
