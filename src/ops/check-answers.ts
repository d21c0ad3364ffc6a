// What comes back when an upstream is asked as the proxy would ask it: a page of the web server, a handshake of a mux.
// Called by check.ts.

import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import type { WebSocket } from "ws";
import { codeOf } from "../core/errors.ts";
import { load } from "../core/packages.ts";
import { cut, guard } from "../core/sockets.ts";
import type { Address } from "../core/target.ts";

/** What came back. */
export type Answer =
  /** An HTTP status: 101 is an open WebSocket. */
  | { kind: "status"; status: number; reason: string }
  /** Bytes that are no HTTP. */
  | { kind: "nonsense" }
  /** Connected, and then closed or silent. */
  | { kind: "nothing"; why: string }
  /** Not even connected. */
  | { kind: "unreachable"; why: string };

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: single-port check\r\nConnection: close\r\n\r\n";
// Enough for a status line; the head and the page are not wanted.
const MAX_LINE = 1024;

/** Asks a web server for `/`. */
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

/** Makes one WebSocket handshake, and closes the WebSocket again. No Origin is sent: this is no browser. */
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
      // A mux that does not answer the Close is not waited for.
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

// Plain answers to a TLS hello, as OpenSSL calls them.
const NOT_TLS = /WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH|UNEXPECTED_MESSAGE/;

/** Does it speak TLS? Whose certificate it has is of no interest, nor whether it would have us. */
export function speaksTls(address: Address, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTls({ ...address, rejectUnauthorized: false });
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
