// A stand-in for cloudflared, which does what its source does (proxy/proxy.go, ingress/origin_service.go,
// stream/stream.go) and Go's net/http under it: 100 idle connections for 90 s, the youngest first; one that broke
// before it answered is asked again on another if that is safe, else the visitor gets 502; an upgrade with its fields
// added anew, then bytes are copied, and the first direction that ends closes both. On top, it resets its connections
// to us at random.

import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { seeded } from "./fickle.ts";
import { atEnd } from "./lifetime.ts";

/** A rule of `ingress`: the first whose hostname is asked for, or which has none, serves. */
export interface IngressRule {
  hostname?: string;
  /** `http://host:port`, or `http_status:404`. */
  service: string;
}

/** How often it resets; nothing unless told. */
export interface Chaos {
  seed: number;
  /** Of the connections that become idle, and within which time. */
  idle: number;
  /** Of the exchanges, and within which time of their beginning. */
  busy: number;
  withinMs: number;
}

/** One that runs. */
export interface Cloudflared {
  /** Where visitors come in. */
  port: number;
  /** What it did to us: the `X-Id` of the exchanges it broke, and how many idle connections. */
  caused: { broken: Set<string>; idle: number };
  /** Connections to us, idle ones included. */
  open(): number;
}

const MAX_IDLE = 100;
const IDLE_MS = 90_000;
const HOP_BY_HOP = /^(connection|upgrade|keep-alive|transfer-encoding|te|trailer|proxy-.*)$/i;
const isSafe = (req: IncomingMessage): boolean => req.method === "GET" || req.method === "HEAD";

/** What Cloudflare's edge makes of a visitor's fields. */
function fieldsOf(req: IncomingMessage, upgrade: boolean): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(req.headers)) {
    if (!HOP_BY_HOP.test(name) && value !== undefined) fields[name] = value;
  }
  const visitor = { "CF-Connecting-IP": "203.0.113.7", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https" };
  const own = upgrade
    ? { Connection: "Upgrade", Upgrade: "websocket", "Sec-Websocket-Version": "13" }
    : { Connection: "keep-alive" };
  const ray = { "CF-Ray": String(req.headers["x-id"] ?? "0"), "Cdn-Loop": "cloudflare" };
  const chunked = req.headers["transfer-encoding"] === undefined ? {} : { "Transfer-Encoding": "chunked" };
  return { ...fields, ...visitor, ...own, ...ray, ...chunked };
}

/** Go's transport knows a limit of its own, and nothing of `Keep-Alive: timeout`. */
class GoAgent extends Agent {
  readonly #idleMs: number;

  constructor(idleMs: number) {
    super({ keepAlive: true, maxFreeSockets: MAX_IDLE, scheduling: "lifo" });
    this.#idleMs = idleMs;
  }

  override keepSocketAlive(socket: Socket): boolean {
    socket.setTimeout(this.#idleMs);
    return true;
  }
}

/** Resets connections at random, and remembers what it broke. */
class Resets {
  readonly caused = { broken: new Set<string>(), idle: 0 };
  readonly #chaos: Chaos;
  readonly #random: () => number;
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  constructor(chaos: Chaos) {
    this.#chaos = chaos;
    this.#random = seeded(chaos.seed);
  }

  /** A connection begins to serve an exchange, if it is not spared. */
  onBusy(socket: Socket, id: string): void {
    this.spare(socket);
    this.#reset(socket, this.#chaos.busy, () => {
      this.caused.broken.add(id);
      socket.resetAndDestroy();
    });
  }

  onIdle(socket: Socket): void {
    this.spare(socket);
    this.#reset(socket, this.#chaos.idle, () => {
      this.caused.idle += 1;
      socket.resetAndDestroy();
      // Node's pool would hand it out until it has heard that it is closed.
      socket.emit("agentRemove");
    });
  }

  /** The exchange is over, or the connection is in use again. */
  spare(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
  }

  #reset(socket: Socket, share: number, reset: () => void): void {
    if (this.#random() >= share) return;
    const act = (): void => {
      if (!socket.destroyed) reset();
    };
    this.#timers.set(socket, setTimeout(act, this.#random() * this.#chaos.withinMs));
  }
}

/** Starts one. */
export async function startCloudflared(
  rules: IngressRule[],
  { chaos = { seed: 1, idle: 0, busy: 0, withinMs: 0 }, idleMs = IDLE_MS }: { chaos?: Chaos; idleMs?: number } = {},
): Promise<Cloudflared> {
  const agent = new GoAgent(idleMs);
  const resets = new Resets(chaos);
  const known = new Set<Socket>();
  agent.on("free", (socket: Socket) => resets.onIdle(socket));
  const serviceFor = (req: IncomingMessage): string => {
    const name = req.headers.host?.replace(/:\d+$/, "");
    const rule = rules.find(({ hostname }) => hostname === undefined || hostname === name);
    return rule?.service ?? "http_status:503";
  };
  const ask = (req: IncomingMessage, service: string, upgrade: boolean): ReturnType<typeof request> => {
    const { hostname, port } = new URL(service);
    const headers = fieldsOf(req, upgrade);
    const asked = request({ hostname, port, agent, method: req.method, path: req.url, headers, setHost: false });
    asked.on("socket", (socket) => {
      socket.setTimeout(0);
      if (!known.has(socket)) {
        known.add(socket);
        socket.on("timeout", () => socket.destroy());
        socket.once("close", () => known.delete(socket));
      }
      resets.onBusy(socket, String(req.headers["x-id"]));
    });
    return asked;
  };

  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const service = serviceFor(req);
    const status = /^http_status:(\d+)$/.exec(service)?.[1];
    if (status !== undefined) return void res.writeHead(Number(status)).end();
    const asked = ask(req, service, false);
    asked.on("error", () => {
      if (res.headersSent) return void res.destroy();
      if (asked.reusedSocket && isSafe(req) && !res.destroyed) return onRequest(req, res);
      res.writeHead(502).end();
    });
    asked.on("response", (answer) => {
      res.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.on("data", (chunk) => {
        if (!res.write(chunk)) answer.pause();
      });
      res.on("drain", () => answer.resume());
      answer.on("end", () => {
        resets.spare(answer.socket);
        res.end();
      });
      answer.on("close", () => answer.complete || res.destroy());
    });
    res.on("close", () => res.writableFinished || asked.destroy());
    if (isSafe(req)) asked.end();
    else req.pipe(asked);
  };

  const onUpgrade = (req: IncomingMessage, visitor: Duplex, early: Buffer): void => {
    visitor.on("error", () => {});
    const asked = ask(req, serviceFor(req), true);
    asked.on("error", () => visitor.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
    asked.on("response", (answer) => {
      visitor.write(`HTTP/1.1 ${answer.statusCode} x\r\nConnection: close\r\n\r\n`);
      answer.pipe(visitor);
    });
    asked.on("upgrade", (answer, origin, first) => {
      const lines = [];
      for (let i = 0; i < answer.rawHeaders.length; i += 2)
        lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}\r\n`);
      visitor.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
      visitor.write(first);
      origin.write(early);
      stream(visitor, origin);
    });
    asked.end();
  };

  const server = createServer(onRequest);
  server.on("upgrade", onUpgrade);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(() => {
    server.closeAllConnections();
    server.close();
    for (const socket of known) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, caused: resets.caused, open: () => known.size };
}

/** Copies both ways; the first direction that ends closes both, behind the bytes it has copied. */
function stream(visitor: Duplex, origin: Duplex): void {
  const copy = (from: Duplex, to: Duplex): void => {
    from.on("error", () => {});
    from.on("data", (chunk) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    const over = (): void => {
      to.end(() => to.destroy());
      from.destroy();
    };
    from.on("end", over);
    from.on("close", over);
  };
  copy(visitor, origin);
  copy(origin, visitor);
}
