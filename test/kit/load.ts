// Clients that keep asking, as an open page does.

import { Agent, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { onTestFinished } from "vitest";
import { codeOf } from "../../src/core/errors.ts";

/** The result of a request. */
export interface Answer {
  /** 0: the connection broke. */
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  /** Why the connection broke. */
  error?: string;
  /** Milliseconds of the monotonic clock. */
  began: number;
  ended: number;
}

/** What to ask for. */
export interface Ask {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** A client with its own pool of connections; `sockets` 1 makes it ask one after another on one connection. */
export function client(port: number, sockets = Infinity): (ask?: Ask) => Promise<Answer> {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets });
  onTestFinished(() => agent.destroy());
  return ({ method = "GET", path = "/", headers = {}, body } = {}) =>
    new Promise((resolve) => {
      const began = performance.now();
      const end = (rest: Partial<Answer>): void =>
        resolve({ status: 0, headers: {}, body: "", ...rest, began, ended: performance.now() });
      const req = httpRequest({ port, host: "127.0.0.1", agent, method, path, headers });
      req.on("error", (error) => end({ error: codeOf(error) }));
      req.on("response", (res) => {
        const { statusCode: status = 0, headers: fields } = res;
        let text = "";
        res.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        res.on("end", () => end({ status, headers: fields, body: text }));
        res.on("error", (error) => end({ status, headers: fields, body: text, error: codeOf(error) }));
      });
      req.end(body);
    });
}

/** Does something at an interval, without waiting for it to end, until `stop`. */
export interface Steady<T> {
  begun(): number;
  /** How many calls are in progress. */
  pending(): number;
  /** Stops, and resolves with all results once the last has come. */
  stop(): Promise<T[]>;
}

/** Calls `what` every `ms` milliseconds. */
export function every<T>(ms: number, what: (index: number) => Promise<T>): Steady<T> {
  const results: Promise<T>[] = [];
  let ended = 0;
  const timer = setInterval(() => {
    const result = what(results.length);
    void result.finally(() => (ended += 1));
    results.push(result);
  }, ms);
  onTestFinished(() => clearInterval(timer));
  return {
    begun: () => results.length,
    pending: () => results.length - ended,
    stop: () => {
      clearInterval(timer);
      return Promise.all(results);
    },
  };
}
