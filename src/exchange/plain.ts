// Relays plain requests by npm http-proxy: uses its server object, web(), pass pipeline and error callback. Its
// `stream` pass is replaced by an Exchange (before()): in it a bad chunk ends the process, and a cut answer hangs, and
// neither events nor options reach that code. Made by proxy/gate.ts for the web server.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Failure } from "../core/errors.ts";
import { load } from "../core/packages.ts";
import type { Target } from "../core/target.ts";

/** A pass, as http-proxy calls it. A truthy result ends the pipeline: the pass handles the request. */
type Pass = (
  req: IncomingMessage,
  res: ServerResponse,
  options: unknown,
  head: unknown,
  server: unknown,
  failed: (failure: Failure) => void,
) => boolean;

// before() and the callback as second to last argument are http-proxy's, but missing from its types.
interface WebProxy {
  before(type: "web", pass: "stream", ours: Pass): void;
  web(req: IncomingMessage, res: ServerResponse, failed: (failure: Failure) => void): void;
}

/** Relays plain requests to one upstream. */
export interface PlainRelay {
  /** `failed` is called at most once, when nothing was answered yet. */
  relay: Exchange;
  /** Loads http-proxy; otherwise the first request does. */
  warmUp(): void;
}

type Exchange = (req: IncomingMessage, res: ServerResponse, failed: (failure: Failure) => void) => void;

/**
 * Makes an http-proxy server whose pass calls `exchange`. web() is called without options: to merge them http-proxy
 * would call the deprecated `util._extend` (DEP0060).
 */
export function createPlainRelay(target: Target, exchange: Exchange): PlainRelay {
  let made: WebProxy | undefined;
  const proxy = (): WebProxy => (made ??= create(target, exchange));
  return { relay: (req, res, failed) => proxy().web(req, res, failed), warmUp: () => void proxy() };
}

function create(target: Target, exchange: Exchange): WebProxy {
  const httpProxy = load("http-proxy") as typeof import("http-proxy");
  const { address } = target;
  const detailed = "path" in address ? { host: "localhost", port: 80, socketPath: address.path } : address;
  const proxy = httpProxy.createProxyServer({ target: detailed }) as unknown as WebProxy;
  proxy.before("web", "stream", (req, res, _options, _head, _server, failed) => {
    exchange(req, res, failed);
    return true;
  });
  return proxy;
}
