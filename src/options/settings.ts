// The argument of `startSinglePort()`: one member for each option of table.ts, in the same order. A test compares names,
// types and defaults.

/** A number of milliseconds, or text: `250ms`, `10s`, `2m`, `1h`. */
export type Duration = number | string;

/** A number of bytes, or text: `64k`, `1m`. */
export type Size = number | string;

/**
 * The options of a proxy, named as on the command line, in camel case. A member that is missing or undefined has its
 * default. The environment is not read.
 */
export interface Settings {
  /** The public port; 0 picks a free one. Default: 3000. */
  port?: number | string | undefined;
  /** Address to bind; loopback, because the front is local and a shell sits behind. Default: 127.0.0.1. */
  host?: string | undefined;
  /** The web server: plain requests, and upgrades on other paths. Required. */
  http: number | string;
  /** A WebSocket mux, answering on /ao-terminal-mux and its own path, or on the path given. Default: none. */
  mux?: number | string | readonly (number | string)[] | undefined;
  /** Peers whose X-Forwarded-* and CF-* fields are believed: networks, loopback among them, or none. Default: loopback. */
  trustProxy?: string | undefined;
  /** Tell upstreams of the client in X-Forwarded-For, -Proto and -Host; off adds nothing to what a trusted front says. Default: on. */
  forwarded?: boolean | string | undefined;
  /** Sign requests in Via, for which nginx stops compressing; off signs in X-Single-Port-Via instead. Default: on. */
  via?: boolean | string | undefined;
  /** A page of this origin may open a mux, too (its own always may); https://*.example.org, null, file://, * for all. Default: none. */
  allowOrigin?: string | readonly string[] | undefined;
  /** A page may open a mux by this host without a front: a name, `*.example.org`, or `*`. Default: none. */
  allowHost?: string | readonly string[] | undefined;
  /** How long the answer to an upgrade may take, then 504. Default: 10s. */
  handshakeTimeout?: Duration | undefined;
  /** A side silent for so long is sent a ping; 0 turns pings off. Default: 25s. */
  pingInterval?: Duration | undefined;
  /** No byte for so long after a ping: the side is half-open, and dropped. Default: 15s. */
  pingTimeout?: Duration | undefined;
  /** A side that takes no byte for so long while bytes wait is dropped. Default: 60s. */
  stallTimeout?: Duration | undefined;
  /** How long a request waits for an upstream that cannot be reached; 0 refuses at once. Default: 10s. */
  hold?: Duration | undefined;
  /** Body bytes kept for another attempt. Default: 64k. */
  replayBuffer?: Size | undefined;
  /** An upstream connection idle for longer is closed, not reused; a Node upstream closes at 5 s. Default: 4s. */
  recycle?: Duration | undefined;
  /** How long one try to connect to an upstream may take. Default: 3s. */
  connectTimeout?: Duration | undefined;
  /** How long the head of a response may take, then 504; nothing later gets past Cloudflare. Default: 120s. */
  responseTimeout?: Duration | undefined;
  /** A body that moves no byte for so long is cut; event streams may be silent. Default: 300s. */
  bodyTimeout?: Duration | undefined;
  /** How long the head of a request may take, then 408. Default: 60s. */
  headersTimeout?: Duration | undefined;
  /** How long a whole request may take to arrive, then 408; 0 turns it off. Default: 300s. */
  requestTimeout?: Duration | undefined;
  /** How long an idle client connection is kept; longer than Caddy's 120 s and cloudflared's 90 s. Default: 125s. */
  clientKeepAlive?: Duration | undefined;
  /** Silence before TCP probes a peer, on both sides; a dead one shows 10 s later. Default: 15s. */
  tcpKeepAlive?: Duration | undefined;
  /** Most bytes of the header fields of one message, then 431; Cloudflare lets 32 KiB through. Default: 32k. */
  maxHeaderSize?: Size | undefined;
  /** Most client connections, then 503. Default: 4096. */
  maxConnections?: number | string | undefined;
  /** Most open tunnels, then 503. Default: 1000. */
  maxTunnels?: number | string | undefined;
  /** Most requests held at once, then 503. Default: 512. */
  maxHeld?: number | string | undefined;
  /** An upstream without traffic is probed this often; 0 never. Default: 10s. */
  probeInterval?: Duration | undefined;
  /** Probe the web server with GET of this path (any status below 500 counts), not only by connecting. Default: none. */
  httpProbe?: string | undefined;
  /** Run when an upstream is lost, at most every 30 s; has SINGLE_PORT_UPSTREAM and SINGLE_PORT_TARGET. Default: none. */
  onDown?: string | undefined;
  /** How long `close()` waits for what is in flight. Default: 4s. */
  drain?: Duration | undefined;
  /** How long to try again, every 500 ms, when the port is busy; then `CannotListen`. Default: 2s. */
  bindRetry?: Duration | undefined;
  /** Have an older single-port of this user on this port hand over and drain. Default: off. */
  takeover?: boolean | undefined;
  /** Of the command line only: a program calls `close()` when its parent is gone. Default: none. */
  parentPid?: number | string | undefined;
  /** Serve /live, /ready, /status, /metrics and a live page on PORT, HOST:PORT or unix:PATH. Default: none. */
  admin?: number | string | undefined;
  /** Of the command line only: a program's own logger has a level. Default: info. */
  logLevel?: string | undefined;
  /** Of the command line only: a program's own logger has a format. Default: auto. */
  logFormat?: string | undefined;
  /** One info line for each exchange, not only for those that ended badly. Default: off. */
  accessLog?: boolean | undefined;
}
