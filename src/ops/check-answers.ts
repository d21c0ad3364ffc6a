// Asks upstreams for `single-port check`: the web server for a page, a mux for a WebSocket handshake, either for TLS.
// Called by check.ts.

import { connect } from "node:net";
import type { WebSocket } from "ws";
import { codeOf } from "../core/errors.ts";
import { load } from "../core/packages.ts";
import { cut, guard } from "../core/sockets.ts";
import type { Address } from "../core/target.ts";

/** What an upstream answered. */
export type Answer =
  /** An HTTP status: 101 is an open WebSocket. */
  | { kind: "status"; status: number; reason: string }
  /** Bytes that are not HTTP. */
  | { kind: "nonsense" }
  /** The upstream accepted the connection, and then closed it or stayed silent. */
  | { kind: "nothing"; why: string }
  /** The connection could not be made. */
  | { kind: "unreachable"; why: string };

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: single-port check\r\nConnection: close\r\n\r\n";
// Limit for the status line, in bytes. The rest of the answer is not read.
const MAX_LINE = 1024;

/** Sends GET / to a web server; resolves with its status line. */
export function askWeb(address: Address, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(address);
    guard(socket);
    let connected = false;
    let text = "";
    const settle = (answer: Answer): void => {
      clearTimeout(timer);
      cut(socket);
      resolve(answer);
    };
    const without = (why: string): void => settle({ kind: connected ? "nothing" : "unreachable", why });
    const timer = setTimeout(() => without(`no answer within ${timeoutMs} ms`), timeoutMs);
    socket.once("connect", () => {
      connected = true;
      socket.write(GET);
    });
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      const [, status, reason = ""] = /^HTTP\/1\.[01] (\d{3}) ?([^\r\n]*)\r?\n/.exec(text) ?? [];
      if (status !== undefined) settle({ kind: "status", status: Number(status), reason });
      else if (text.length > MAX_LINE || !"HTTP/1.".startsWith(text.slice(0, 7))) settle({ kind: "nonsense" });
    });
    socket.once("error", (error) => without(codeOf(error)));
    socket.once("end", () => without("closed without an answer"));
  });
}

/** Makes one WebSocket handshake, and closes the WebSocket again. Sends no Origin: this is no browser. */
export function askMux(address: Address, path: string, timeoutMs: number): Promise<Answer> {
  const { WebSocket: Client } = load("ws") as typeof import("ws");
  return new Promise((resolve) => {
    let connected = false;
    const createConnection = (): ReturnType<typeof connect> =>
      connect(address).once("connect", () => {
        connected = true;
      });
    const ws: WebSocket = new Client(`ws://localhost${path}`, { createConnection, handshakeTimeout: timeoutMs });
    ws.once("open", () => {
      resolve({ kind: "status", status: 101, reason: "Switching Protocols" });
      ws.close(1000);
      // Does not wait for ever for a mux that does not answer the Close.
      setTimeout(() => ws.terminate(), timeoutMs).unref();
    });
    ws.once("unexpected-response", (_request, { statusCode = 0, statusMessage = "" }) => {
      resolve({ kind: "status", status: statusCode, reason: statusMessage });
      ws.terminate();
    });
    ws.on("error", (error: Error) => {
      const code = codeOf(error);
      const isNonsense = code.startsWith("HPE_") || error.message.startsWith("Invalid ");
      if (isNonsense) return resolve({ kind: "nonsense" });
      resolve({ kind: connected ? "nothing" : "unreachable", why: "code" in error ? code : error.message });
    });
  });
}

// OpenSSL's errors when a server answers a TLS ClientHello in plain text.
const NOT_TLS = /WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH|UNEXPECTED_MESSAGE/;

/** Does the server speak TLS? Its certificate is not checked, and a handshake that it refuses counts, too. */
export function speaksTls(address: Address, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const tls = load("node:tls") as typeof import("node:tls");
    const socket = tls.connect({ ...address, rejectUnauthorized: false });
    guard(socket);
    const settle = (speaks: boolean): void => {
      clearTimeout(timer);
      cut(socket);
      resolve(speaks);
    };
    const timer = setTimeout(() => settle(false), timeoutMs);
    socket.once("secureConnect", () => settle(true));
    socket.once("error", (error) => settle(codeOf(error).startsWith("ERR_SSL_") && !NOT_TLS.test(codeOf(error))));
    socket.once("close", () => settle(false));
  });
}
