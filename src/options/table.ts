// The declaration of every option, once: flag, environment, default, check, and the words of --help and of the README's
// table. Read by options.ts only.

import {
  adminAddress,
  allowedHost,
  cidrs,
  duration,
  host,
  integer,
  LOG_LEVELS,
  mux,
  oneOf,
  origin,
  parentPid,
  requestPath,
  size,
  target,
} from "./types.ts";

/** One option. */
export interface Declared {
  flags: string;
  env: string;
  group: string;
  /** As it is written on a command line; undefined for none. */
  default?: string;
  text: string;
  repeatable?: boolean;
  /** Throws with what is accepted. */
  parse?: (text: string) => unknown;
}

const GROUPS = {
  main: "What goes where:",
  tunnels: "Tunnels:",
  requests: "Plain requests:",
  limits: "Limits:",
  links: "Upstream links:",
  process: "Process and log:",
};

/** In the order in which they are shown. */
export const declared: Declared[] = [
  {
    flags: "-p, --port <n>",
    env: "PORT",
    group: GROUPS.main,
    default: "3000",
    parse: integer(0, 65535),
    text: "the public port; 0 picks a free one",
  },
  {
    flags: "--host <addr>",
    env: "SINGLE_PORT_HOST",
    group: GROUPS.main,
    default: "127.0.0.1",
    parse: host,
    text: "address to bind; loopback, because the front is local and a shell sits behind",
  },
  {
    flags: "--http <target>",
    env: "NEXT_INTERNAL_PORT",
    group: GROUPS.main,
    parse: target,
    text: "the web server: plain requests, and upgrades on other paths (required)",
  },
  {
    flags: "--mux <[path=]target>",
    env: "DIRECT_TERMINAL_PORT",
    group: GROUPS.main,
    parse: mux,
    repeatable: true,
    text: "a WebSocket mux, answering on /ao-terminal-mux and its own path, or on the path given; repeatable",
  },
  {
    flags: "--trust-proxy <cidr,...>",
    env: "SINGLE_PORT_TRUST_PROXY",
    group: GROUPS.main,
    default: "loopback",
    parse: cidrs,
    text: "peers whose X-Forwarded-* and CF-* fields are believed: networks, loopback among them, or none",
  },

  {
    flags: "--allow-origin <origin>",
    env: "SINGLE_PORT_ALLOW_ORIGIN",
    group: GROUPS.tunnels,
    parse: origin,
    repeatable: true,
    text: "a page of this origin may open a mux, too (its own always may); https://*.example.org, null, file://, * for all; repeatable",
  },
  {
    flags: "--allow-host <host>",
    env: "SINGLE_PORT_ALLOW_HOST",
    group: GROUPS.tunnels,
    parse: allowedHost,
    repeatable: true,
    text: "a page may open a mux by this host without a front; *.example.org, * for all; addresses and localhost always may; repeatable",
  },
  {
    flags: "--handshake-timeout <time>",
    env: "SINGLE_PORT_HANDSHAKE_TIMEOUT",
    group: GROUPS.tunnels,
    default: "10s",
    parse: duration(),
    text: "for the answer to an upgrade, then 504",
  },
  {
    flags: "--ping-interval <time>",
    env: "SINGLE_PORT_PING_INTERVAL",
    group: GROUPS.tunnels,
    default: "25s",
    parse: duration(),
    text: "a side silent for so long is sent a ping; 0 turns pings off",
  },
  {
    flags: "--ping-timeout <time>",
    env: "SINGLE_PORT_PING_TIMEOUT",
    group: GROUPS.tunnels,
    default: "15s",
    parse: duration(50),
    text: "no byte for so long after a ping: the side is half-open, and dropped",
  },
  {
    flags: "--stall-timeout <time>",
    env: "SINGLE_PORT_STALL_TIMEOUT",
    group: GROUPS.tunnels,
    default: "60s",
    parse: duration(50),
    text: "a side that takes no byte for so long while bytes wait is dropped",
  },

  {
    flags: "--hold <time>",
    env: "SINGLE_PORT_HOLD",
    group: GROUPS.requests,
    default: "10s",
    parse: duration(),
    text: "how long a request waits for an upstream that cannot be reached; 0 refuses at once",
  },
  {
    flags: "--replay-buffer <size>",
    env: "SINGLE_PORT_REPLAY_BUFFER",
    group: GROUPS.requests,
    default: "64k",
    parse: size(0, 16 * 1024 * 1024),
    text: "body bytes kept for another attempt",
  },
  {
    flags: "--recycle <time>",
    env: "SINGLE_PORT_RECYCLE",
    group: GROUPS.requests,
    default: "4s",
    parse: duration(),
    text: "an upstream connection idle for longer is closed, not reused; a Node upstream closes at 5 s",
  },
  {
    flags: "--connect-timeout <time>",
    env: "SINGLE_PORT_CONNECT_TIMEOUT",
    group: GROUPS.requests,
    default: "3s",
    parse: duration(50),
    text: "for one try to connect to an upstream",
  },
  {
    flags: "--response-timeout <time>",
    env: "SINGLE_PORT_RESPONSE_TIMEOUT",
    group: GROUPS.requests,
    default: "120s",
    parse: duration(),
    text: "for the head of a response, then 504; nothing later gets past Cloudflare",
  },
  {
    flags: "--body-timeout <time>",
    env: "SINGLE_PORT_BODY_TIMEOUT",
    group: GROUPS.requests,
    default: "300s",
    parse: duration(),
    text: "a body that moves no byte for so long is cut; event streams may be silent",
  },

  {
    flags: "--headers-timeout <time>",
    env: "SINGLE_PORT_HEADERS_TIMEOUT",
    group: GROUPS.limits,
    default: "60s",
    parse: duration(50),
    text: "for the head of a request, then 408",
  },
  {
    flags: "--request-timeout <time>",
    env: "SINGLE_PORT_REQUEST_TIMEOUT",
    group: GROUPS.limits,
    default: "300s",
    parse: duration(),
    text: "for a whole request to arrive, then 408; 0 turns it off",
  },
  {
    flags: "--client-keep-alive <time>",
    env: "SINGLE_PORT_CLIENT_KEEP_ALIVE",
    group: GROUPS.limits,
    default: "125s",
    parse: duration(50),
    text: "an idle client connection is kept; longer than Caddy's 120 s and cloudflared's 90 s",
  },
  {
    flags: "--tcp-keep-alive <time>",
    env: "SINGLE_PORT_TCP_KEEP_ALIVE",
    group: GROUPS.limits,
    default: "15s",
    parse: duration(1000),
    text: "silence before TCP probes a peer, on both sides; a dead one shows 10 s later",
  },
  {
    flags: "--max-header-size <size>",
    env: "SINGLE_PORT_MAX_HEADER_SIZE",
    group: GROUPS.limits,
    default: "32k",
    parse: size(1024, 1024 * 1024),
    text: "header fields of one message, then 431, or 502 for an answer; Cloudflare lets 32 KiB through",
  },
  {
    flags: "--max-connections <n>",
    env: "SINGLE_PORT_MAX_CONNECTIONS",
    group: GROUPS.limits,
    default: "4096",
    parse: integer(1, 1_000_000),
    text: "client connections, then 503",
  },
  {
    flags: "--max-tunnels <n>",
    env: "SINGLE_PORT_MAX_TUNNELS",
    group: GROUPS.limits,
    default: "1000",
    parse: integer(0, 1_000_000),
    text: "open tunnels, then 503",
  },
  {
    flags: "--max-held <n>",
    env: "SINGLE_PORT_MAX_HELD",
    group: GROUPS.limits,
    default: "512",
    parse: integer(0, 1_000_000),
    text: "requests held at once, then 503",
  },

  {
    flags: "--probe-interval <time>",
    env: "SINGLE_PORT_PROBE_INTERVAL",
    group: GROUPS.links,
    default: "10s",
    parse: duration(),
    text: "an upstream without traffic is probed this often; 0 never",
  },
  {
    flags: "--http-probe <path>",
    env: "SINGLE_PORT_HTTP_PROBE",
    group: GROUPS.links,
    parse: requestPath,
    text: "probe the web server with GET of this path (any status below 500 counts), not only by connecting",
  },
  {
    flags: "--on-down <command>",
    env: "SINGLE_PORT_ON_DOWN",
    group: GROUPS.links,
    parse: String,
    text: "run when an upstream is lost, at most every 30 s; has SINGLE_PORT_UPSTREAM and SINGLE_PORT_TARGET",
  },

  {
    flags: "--drain <time>",
    env: "SINGLE_PORT_DRAIN",
    group: GROUPS.process,
    default: "4s",
    parse: duration(),
    text: "for what is in flight after SIGTERM; agent-orchestrator kills at 5 s",
  },
  {
    flags: "--bind-retry <time>",
    env: "SINGLE_PORT_BIND_RETRY",
    group: GROUPS.process,
    default: "2s",
    parse: duration(),
    text: "how long to try again, every 500 ms, when the port is busy; then exit 78",
  },
  {
    flags: "--takeover",
    env: "SINGLE_PORT_TAKEOVER",
    group: GROUPS.process,
    text: "have an older single-port of this user on this port hand over and drain",
  },
  {
    flags: "--parent-pid <pid>",
    env: "SINGLE_PORT_PARENT_PID",
    group: GROUPS.process,
    parse: parentPid,
    text: "drain and exit when this process is gone; parent for the one that started this one (under npx that is npx)",
  },
  {
    flags: "--admin <addr>",
    env: "SINGLE_PORT_ADMIN",
    group: GROUPS.process,
    parse: adminAddress,
    text: "serve /live, /ready, /status, /metrics and a live page on PORT, HOST:PORT or unix:PATH",
  },
  {
    flags: "--log-level <level>",
    env: "SINGLE_PORT_LOG_LEVEL",
    group: GROUPS.process,
    default: "info",
    parse: oneOf(LOG_LEVELS),
    text: LOG_LEVELS.join(", "),
  },
  {
    flags: "--log-format <format>",
    env: "SINGLE_PORT_LOG_FORMAT",
    group: GROUPS.process,
    default: "auto",
    parse: oneOf(["auto", "json", "pretty"]),
    text: "json, pretty, or auto: pretty on a terminal",
  },
  {
    flags: "--access-log",
    env: "SINGLE_PORT_ACCESS_LOG",
    group: GROUPS.process,
    text: "one info line for each exchange, not only for those that ended badly",
  },
];
