// The argument of `startSinglePort()`: one member for each option of table.ts, in the same order. A test compares
// names, types and defaults.

/** A number of milliseconds, or text: `250ms`, `10s`, `2m`, `1h`. */
export type Duration = number | string;

/** A number of bytes, or text: `64k`, `1m`. */
export type Size = number | string;

/**
 * The options of a proxy, named as on the command line, in camel case. A member that is missing or undefined has its
 * default. The environment is not read.
 */
export interface Settings {
  /** Public port; 0 picks a free one. Default: 3000. */
  port?: number | string | undefined;
  /** Address to bind; loopback by default, since whoever reaches the port can open a shell. Default: 127.0.0.1. */
  host?: string | undefined;
  /** The web server: gets plain requests, and WebSockets on other paths. Required. */
  http: number | string;
  /** A WebSocket mux, served on /ao-terminal-mux and its own path, or on the given path. Default: none. */
  mux?: number | string | readonly (number | string)[] | undefined;
  /** Peers whose X-Forwarded-* and CF-* fields are trusted: networks, loopback, or none. Default: loopback. */
  trustProxy?: string | undefined;
  /** Send X-Forwarded-For, -Proto, -Host upstream; off passes on only what a trusted front sends. Default: on. */
  forwarded?: boolean | string | undefined;
  /** Sign requests in Via, for which nginx stops compressing; off uses X-Single-Port-Via. Default: on. */
  via?: boolean | string | undefined;
  /** Other origins whose pages may open a mux: `https://*.example.org`, `null`, `file://`, `*`. Default: none. */
  allowOrigin?: string | readonly string[] | undefined;
  /** Host names by which pages may open a mux without a front: a name, `*.example.org`, `*`. Default: none. */
  allowHost?: string | readonly string[] | undefined;
  /** Max time for the upstream to answer an upgrade (then 504). Default: 10s. */
  handshakeTimeout?: Duration | undefined;
  /** Send a ping after this much silence; 0 turns pings off. Default: 25s. */
  pingInterval?: Duration | undefined;
  /** Drop a side that sends no byte for this long after a ping (it is half-open). Default: 15s. */
  pingTimeout?: Duration | undefined;
  /** Drop a side that takes no byte for this long while bytes wait for it. Default: 60s. */
  stallTimeout?: Duration | undefined;
  /** Max time a request waits for an upstream that cannot be reached (then 503); 0 refuses at once. Default: 10s. */
  hold?: Duration | undefined;
  /** Max body bytes kept for sending a request again. Default: 64k. */
  replayBuffer?: Size | undefined;
  /** Close an upstream connection that is idle for this long; less than Node's 5 s. Default: 4s. */
  recycle?: Duration | undefined;
  /** Max time for one attempt to connect to an upstream. Default: 3s. */
  connectTimeout?: Duration | undefined;
  /** Max time for the upstream to send the response headers (then 504). Default: 120s. */
  responseTimeout?: Duration | undefined;
  /** Cut a body that moves no byte for this long; event streams may be silent. Default: 300s. */
  bodyTimeout?: Duration | undefined;
  /** Max time to receive the request headers (then 408). Default: 60s. */
  headersTimeout?: Duration | undefined;
  /** Max time to receive a whole request (then 408); 0 turns it off. Default: 300s. */
  requestTimeout?: Duration | undefined;
  /** Max idle time of a client connection; longer than Caddy's 120 s and cloudflared's 90 s. Default: 125s. */
  clientKeepAlive?: Duration | undefined;
  /** Idle time before TCP keepalive probes a peer; a dead peer is found 10 s later. Default: 15s. */
  tcpKeepAlive?: Duration | undefined;
  /** Max size of all header fields of a message (then 431, or 502 for a response). Default: 32k. */
  maxHeaderSize?: Size | undefined;
  /** Max client connections (then 503). Default: 4096. */
  maxConnections?: number | string | undefined;
  /** Max open tunnels (then 503). Default: 1000. */
  maxTunnels?: number | string | undefined;
  /** Max requests held at once (then 503). Default: 512. */
  maxHeld?: number | string | undefined;
  /** Probe an upstream that had no traffic for this long; 0 turns probes off. Default: 10s. */
  probeInterval?: Duration | undefined;
  /** Probe the web server with GET of this path (any status below 500 is good). Default: none. */
  httpProbe?: string | undefined;
  /** Command to run when an upstream is lost; gets SINGLE_PORT_UPSTREAM and SINGLE_PORT_TARGET. Default: none. */
  onDown?: string | undefined;
  /** Max time for `close()` to finish what is in flight. Default: 4s. */
  drain?: Duration | undefined;
  /** Max time to try again, every 500 ms, while the port is in use (then `CannotListen`). Default: 2s. */
  bindRetry?: Duration | undefined;
  /** Take the port over from a running single-port of this user, which then drains. Default: off. */
  takeover?: boolean | undefined;
  /** Only for the command line: a program calls `close()` when its parent is gone. Default: none. */
  parentPid?: number | string | undefined;
  /** Serve /live, /ready, /status, /metrics and a live page on PORT, HOST:PORT or unix:PATH. Default: none. */
  admin?: number | string | undefined;
  /** Only for the command line: a program's own logger has a level. Default: info. */
  logLevel?: string | undefined;
  /** Only for the command line: a program's own logger has a format. Default: auto. */
  logFormat?: string | undefined;
  /** Log one info line for every exchange, not only for those that ended badly. Default: off. */
  accessLog?: boolean | undefined;
}
