// One question to an upstream, on a connection of its own: is it there? Asked by monitor.ts, and by `check`.
// Each calls back once, within its time; the function that it returns gives up, and it then never does.

import { get } from "node:http";
import { connect, type Socket } from "node:net";
import { cut, guard } from "../core/sockets.ts";
import type { Address } from "../core/target.ts";
import type { Clock } from "../core/timer.ts";
import { dialCodeOf } from "./connection.ts";

/** Called once, with why it failed, if it did. */
type Probed = (error: string | undefined) => void;

/** How long an answer may take, in milliseconds of this clock. */
export interface ProbeLimit {
  clock: Clock;
  timeoutMs: number;
}

/** Can it be connected to? */
export function probeConnect(address: Address, limit: ProbeLimit, done: Probed): () => void {
  const socket = connect(address);
  return settleOnce(socket, limit, done, (settle) => {
    socket.once("connect", () => settle(undefined));
    socket.once("error", (error) => settle(dialCodeOf(error)));
  });
}

/**
 * A request without Host: every server answers it, with 400 (RFC 9112 3.2), and none starts a shell or a page for it.
 */
const NO_HOST = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

/** Does anybody answer behind the kernel? A byte is enough. */
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
 * Said, because NODE_OPTIONS would set them otherwise: how strict node's parser is (and node would warn on stderr of a
 * loose one), and how large a head may be, which is not what a probe asks.
 */
const PARSER = { insecureHTTPParser: false, maxHeaderSize: 1024 * 1024 };

/** Does it answer a GET of `path` with a status below 500? */
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
