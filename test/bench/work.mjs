// What is measured: each item is a load, the peers that can carry it, and what the ratio has to be.

const LIBRARIES = ["http-proxy", "agent-orchestrator", "httpxy", "http-proxy-3", "@fastify/http-proxy"];
const PROGRAMS = ["Caddy", "nginx", "HAProxy"];
const ALL = ["single-port", ...LIBRARIES, ...PROGRAMS, "pipe"];
const MANY = 5000;
const FEW = 10;

/** A bound on what single-port (or `left`) costs, divided by (or, for `plus`, minus) what `right` costs.
 * @typedef {{ left?: string, right: string, atMost: number, minus?: boolean }} Target */

/**
 * `ratio` is the figure that is compared: processor time for each unit, memory for each unit, the 99th percentile, or
 * the time until it listens. `variants` measure each peer with more than one load, in processes of their own. `longer`
 * multiplies the seconds of a round: of 100 requests the 99th percentile would be the worst but one, and of five events
 * the first, which finds what the opening of 1,000 streams has left behind, would be a fifth.
 *
 * @typedef {{ name: string, text: string, unit: string, ratio: "cpu" | "memory" | "p99" | "wall",
 *   peers: string[], kind: "wrk" | "requests" | "tunnels" | "arrivals" | "events" | "start",
 *   options?: any, variants?: Record<string, any>, longer?: number, targets: Target[] }} Work
 */

/** @param {string[]} peers @param {number} atMost @returns {Target[]} */
const below = (peers, atMost) => peers.map((right) => ({ right, atMost }));

/** @type {Work[]} */
export const WORK = [
  {
    name: "get-small",
    text: "GET, 200 bytes",
    unit: "request",
    ratio: "cpu",
    peers: ALL,
    kind: "wrk",
    options: { path: "/small" },
    targets: [{ right: "http-proxy", atMost: 0.8 }, ...below([...LIBRARIES.slice(1), "Caddy"], 1)],
  },
  {
    name: "get-100k",
    text: "GET, 100 KiB",
    unit: "request",
    ratio: "cpu",
    peers: ALL,
    kind: "wrk",
    options: { path: "/large" },
    targets: [],
  },
  {
    name: "post-10k",
    text: "POST, 10 KiB",
    unit: "request",
    ratio: "cpu",
    peers: ALL,
    kind: "wrk",
    options: { path: "/form", post: true },
    targets: [],
  },
  {
    name: "sse-1000",
    text: "an event to 1,000 listeners",
    unit: "event delivered",
    ratio: "cpu",
    peers: ALL,
    kind: "events",
    options: { connections: 1000 },
    longer: 4,
    targets: [{ right: "Caddy", atMost: 1 }],
  },
  {
    name: "tunnel-64",
    text: "tunnel, echo of 64 bytes",
    unit: "echo",
    ratio: "cpu",
    peers: ALL,
    kind: "tunnels",
    options: { connections: 16, size: 64 },
    targets: [
      { right: "pipe", atMost: 1.05 },
      { right: "HAProxy", atMost: 1.3 },
    ],
  },
  {
    name: "tunnel-16k",
    text: "tunnel, echo of 16 KiB",
    unit: "echo",
    ratio: "cpu",
    peers: ALL,
    kind: "tunnels",
    options: { connections: 16, size: 16 * 1024 },
    targets: [
      { right: "pipe", atMost: 1.05 },
      { right: "HAProxy", atMost: 0.95 },
    ],
  },
  {
    name: "tunnel-burst",
    text: "tunnel, bursts of 64 frames of 16 bytes",
    unit: "frame echoed",
    ratio: "cpu",
    peers: [...ALL, "ws relay"],
    kind: "tunnels",
    options: { connections: 16, size: 16, burst: 64 },
    targets: [{ right: "ws relay", atMost: 0.02 }],
  },
  {
    name: "connections-1000",
    text: "1,000 new connections a second",
    unit: "connection",
    ratio: "cpu",
    peers: ALL,
    kind: "arrivals",
    options: { perSecond: 1000, end: "server" },
    targets: [{ right: "http-proxy", atMost: 1 }],
  },
  {
    name: "connections-left",
    text: "1,000 new connections a second, closed by the client",
    unit: "connection",
    ratio: "cpu",
    peers: ALL,
    kind: "arrivals",
    options: { perSecond: 1000, end: "client" },
    targets: [{ right: "http-proxy", atMost: 1 }],
  },
  {
    name: "connections-reset",
    text: "1,000 new connections a second, reset by the client",
    unit: "connection",
    ratio: "cpu",
    peers: ALL,
    kind: "arrivals",
    options: { perSecond: 1000, end: "reset" },
    targets: [{ right: "http-proxy", atMost: 1 }],
  },
  {
    name: "idle-5000",
    text: "5,000 idle tunnels",
    unit: "tunnel",
    ratio: "memory",
    peers: ["single-port", "http-proxy", "agent-orchestrator", "Caddy", "nginx", "HAProxy", "pipe"],
    kind: "tunnels",
    options: { connections: MANY },
    targets: [{ right: "pipe", atMost: 1.25 }],
  },
  {
    name: "start",
    text: "start to listening",
    unit: "start",
    ratio: "wall",
    peers: ["single-port", "http-proxy", "agent-orchestrator", "@fastify/http-proxy", "node -e 0"],
    kind: "start",
    targets: [
      { right: "http-proxy", atMost: 1.2 },
      { right: "node -e 0", atMost: 1.7 },
    ],
  },
  {
    name: "light-100",
    text: "GET, 100 a second",
    unit: "request",
    ratio: "p99",
    peers: ["single-port", "http-proxy", "Caddy", "nginx", "HAProxy", "pipe"],
    kind: "requests",
    options: { connections: 10, perSecond: 100, warmUp: 10_000 },
    longer: 5,
    targets: [{ right: "pipe", atMost: 1, minus: true }],
  },
  {
    name: "growth-get",
    text: "GET, 200 bytes, 10 at a time, on 10 and on 5,000 connections",
    unit: "request",
    ratio: "cpu",
    peers: ["single-port", "http-proxy", "pipe"],
    kind: "requests",
    variants: { [FEW]: { connections: FEW }, [MANY]: { connections: MANY, active: FEW } },
    targets: [{ left: `single-port ${MANY}`, right: `single-port ${FEW}`, atMost: 1.3 }],
  },
  {
    name: "growth-tunnel",
    text: "tunnel, echo of 64 bytes, 10 at a time, on 10 and on 5,000 connections",
    unit: "echo",
    ratio: "cpu",
    peers: ["single-port", "http-proxy", "pipe"],
    kind: "tunnels",
    variants: { [FEW]: { connections: FEW, size: 64 }, [MANY]: { connections: MANY, active: FEW, size: 64 } },
    targets: [{ left: `single-port ${MANY}`, right: `single-port ${FEW}`, atMost: 1.3 }],
  },
];
