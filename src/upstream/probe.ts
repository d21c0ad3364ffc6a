// Probes of an upstream, each on a connection of its own. Called by monitor.ts and proxy/links.ts. Each calls back
// once, within its time limit. The function that it returns cancels the probe: then it never calls back.

import { get } from "node:http";
import { connect, type Socket } from "node:net";
import { cut, guard } from "../core/sockets.ts";
import type { Address } from "../core/target.ts";
import type { Clock } from "../core/timer.ts";
import { dialCodeOf } from "./connection.ts";

/** Called once: with the error, or with undefined for success. */
type Probed = (error: string | undefined) => void;

/** The time limit of a probe. */
export interface ProbeLimit {
  clock: Clock;
  timeoutMs: number;
}

/** Does the upstream accept a connection? */
export function probeConnect(address: Address, limit: ProbeLimit, done: Probed): () => void {
  const socket = connect(address);
  return settleOnce(socket, limit, done, (settle) => {
    socket.once("connect", () => settle(undefined));
    socket.once("error", (error) => settle(dialCodeOf(error)));
  });
}

/**
 * A request without Host: every server answers it, with 400 (RFC 9112 3.2), and does no work for it (no page, no
 * shell).
 */
const NO_HOST = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

/** Does the upstream's process answer, and not only its kernel? Any byte is enough. */
export function probeBytes(address: Address, limit: ProbeLimit, done: Probed): () => void {
  const socket = connect(address);
  return settleOnce(socket, limit, done, (settle) => {
    socket.once("connect", () => socket.write(NO_HOST));
    socket.once("data", () => settle(undefined));
    socket.once("error", (error) => settle(dialCodeOf(error)));
    socket.once("end", () => settle("closed without an answer"));
  });
}

/**
 * Explicit, because NODE_OPTIONS can change the defaults. A loose parser would make node warn on stderr, and a large
 * response head must not fail a probe.
 */
const PARSER = { insecureHTTPParser: false, maxHeaderSize: 1024 * 1024 };

/** Does the upstream answer GET of `path` with a status below 500? */
export function probeHttp(address: Address, path: string, limit: ProbeLimit, done: Probed): () => void {
  const socket = connect(address);
  return settleOnce(socket, limit, done, (settle) => {
    const headers = { Host: "localhost", Connection: "close" };
    const request = get({ createConnection: () => socket, path, headers, ...PARSER });
    request.on("error", (error) => settle(dialCodeOf(error)));
    request.once("response", (response) => {
      response.resume();
      const { statusCode = 0 } = response;
      settle(statusCode < 500 ? undefined : `status ${statusCode}`);
    });
  });
}

function settleOnce(socket: Socket, limit: ProbeLimit, done: Probed, listen: (settle: Probed) => void): () => void {
  guard(socket);
  let settled = false;
  const settle = (error: string | undefined): void => {
    if (settled) return;
    settled = true;
    inTime();
    cut(socket);
    done(error);
  };
  const { clock, timeoutMs } = limit;
  const inTime = clock.after(timeoutMs, () => settle(`no answer within ${timeoutMs} ms`));
  listen(settle);
  return () => {
    settled = true;
    inTime();
    cut(socket);
  };
}
