// Upstreams for tests: real servers on port 0, scripted by the byte, whose accepted sockets the test gets.

import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttp, type RequestListener, type Server as HttpServer } from "node:http";
import { createServer, type AddressInfo, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { WebSocketServer, type WebSocket } from "ws";
import { codeOf } from "../../src/core/errors.ts";
import { wrap, type RawClient } from "./client.ts";
import { atEnd } from "./lifetime.ts";
import { until } from "./until.ts";

/**
 * Listens. A given port was free before, and an outgoing connection of another test may have it for a moment: the
 * kernel gives ports of one range to both.
 */
async function listen(server: Server, port = 0, host = "127.0.0.1"): Promise<number> {
  const isTaken = (error: unknown): boolean => port > 0 && error instanceof Error && codeOf(error) === "EADDRINUSE";
  const once = (): Promise<boolean> =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.off("error", reject);
        resolve();
      });
    }).then(
      () => true,
      (error: unknown) => {
        if (isTaken(error)) return false;
        throw error;
      },
    );
  await until(once, `port ${port} to be free`);
  return (server.address() as AddressInfo).port;
}

/** A raw TCP server: every accepted socket is handed to the test, in order. */
export interface RawUpstream {
  port: number;
  server: Server;
  /** Accepted so far. */
  accepted: RawClient[];
  /** The next connection that has not been taken yet, waited for. */
  next(ms?: number): Promise<RawClient>;
  /** Leaves out those accepted so far. */
  skip(): void;
  /** What happens to each connection from now on. */
  script: ((peer: RawClient) => void) | undefined;
  /** Stops listening and resets every connection: a process that was killed. */
  kill(): Promise<void>;
}

/** Starts a raw upstream; `onConnection` scripts each connection, if given. */
export async function rawUpstream(
  onConnection?: (peer: RawClient) => void,
  port = 0,
  host = "127.0.0.1",
): Promise<RawUpstream> {
  const accepted: RawClient[] = [];
  let taken = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const peer = wrap(socket);
    accepted.push(peer);
    upstream.script?.(peer);
  });
  const upstream: RawUpstream = {
    port: await listen(server, port, host),
    server,
    accepted,
    next: async (ms) => {
      const index = taken++;
      return await until(() => accepted[index], `connection ${index + 1} to the upstream`, ms);
    },
    skip: () => void (taken = accepted.length),
    script: onConnection,
    kill: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const peer of accepted) peer.reset();
      }),
  };
  atEnd(() => upstream.kill());
  return upstream;
}

/** Has this machine no second loopback address? */
export const noIPv6 = !Object.values(networkInterfaces()).some((some) =>
  some?.some(({ address }) => address === "::1"),
);

/** Does nobody listen here, on any address? */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/**
 * A port on which nobody listens, until the test or a program that it starts does. It is this test's own until the test
 * is over: it lies below the ports that the kernel gives to those who do not choose (ip_local_port_range), and a UDP
 * socket on the number behind it keeps it from the tests of all other processes. (Not on its own number: Caddy listens
 * for HTTP/3 there.) It is even, so a program that takes the port in front of it, too, disturbs nobody.
 */
export async function deadPort(): Promise<number> {
  return await until(async () => {
    const port = 20_000 + 2 * randomInt(6000);
    const claim = createSocket("udp4");
    claim.bind({ port: port + 1, address: "127.0.0.1", exclusive: true });
    const isMine = await once(claim, "listening").then(
      () => isFree(port),
      () => false,
    );
    if (!isMine) {
      claim.close();
      return false;
    }
    atEnd(() => void claim.close());
    return port;
  }, "a port that nobody has");
}

/** A node:http server. */
export interface HttpUpstream {
  port: number;
  server: HttpServer;
}

/** Starts an HTTP upstream on a free port, or on `port`. */
export async function httpUpstream(listener: RequestListener, port = 0): Promise<HttpUpstream> {
  const server = createHttp({ maxHeaderSize: 256 * 1024, keepAliveTimeout: 60_000 }, listener);
  server.maxHeadersCount = 0;
  const bound = await listen(server, port);
  atEnd(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return { port: bound, server };
}

/** A WebSocket mux that echoes, on /mux. */
export interface MuxUpstream {
  port: number;
  server: WebSocketServer;
  /** Connections so far. */
  clients: WebSocket[];
}

/** Starts an echoing mux; with `deflate` it compresses every message, with `silent` it does not echo. */
export async function muxUpstream(
  options: { deflate?: boolean; port?: number; silent?: boolean; host?: string } = {},
): Promise<MuxUpstream> {
  const http = createHttp();
  const perMessageDeflate = options.deflate === true && { threshold: 0 };
  const server = new WebSocketServer({ server: http, path: "/mux", perMessageDeflate });
  const clients: WebSocket[] = [];
  server.on("connection", (client) => {
    clients.push(client);
    client.on("error", () => {});
    if (!options.silent) client.on("message", (data, binary) => client.send(data, { binary }));
  });
  const port = await listen(http, options.port ?? 0, options.host);
  atEnd(
    () =>
      new Promise<void>((resolve) => {
        for (const client of clients) client.terminate();
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  );
  return { port, server, clients };
}
