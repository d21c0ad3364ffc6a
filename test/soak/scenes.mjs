// The fault table (test/kit/faults.ts) as the soak plays it: what the client asks, what the upstream answers, and what
// the client is answered in the end. A test compares the two tables. Peers cannot vanish here: that needs a cable.

const crlf = (...lines) => `${lines.join("\r\n")}\r\n\r\n`;

/** For a client that has to know that the upstream has got its request and says nothing yet. */
const HINTS = crlf("HTTP/1.1 103 Early Hints");
const SWITCHING = crlf("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade");
const HALF = "half a body";
const HALF_CHUNKED = `b\r\n${HALF}\r\n`;
const ENOUGH = "Content-Length: 100000000";

/** More than the buffers of the kernels and of the proxy take. */
export const FLOOD = Buffer.alloc(24 * 1024 * 1024, "x");
export const FLOOD_CHUNK = Buffer.from(`${FLOOD.length.toString(16)}\r\n`);

const get = (target, version = "1.1") => crlf(`GET ${target} HTTP/${version}`, "Host: a");
const post = (target, framing) => crlf(`POST ${target} HTTP/1.1`, "Host: a", framing);
const ok = (...fields) => crlf("HTTP/1.1 200 OK", ...fields);
const upgrade = (target) =>
  crlf(`GET ${target} HTTP/1.1`, "Host: a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13");

/** The header of a binary frame that does not end; a mask of zeros leaves its payload as it is. */
const halfFrame = (masked) =>
  `\x82${String.fromCharCode(masked ? 0xff : 0x7f)}\0\0\0\0\x10\0\0\0${masked ? "\0\0\0\0" : ""}half a frame`;

/** Status by fault; a fault that has none does not exist (test/kit/faults.ts says why). */
const statuses = (fin, rst, stall) => ({ fin, rst, ...(stall === undefined ? {} : { stall }) });
const NO_ANSWER = { client: statuses(0, 0), upstream: statuses(502, 502, 504) };
const CUT = { client: statuses(200, 200, 200), upstream: statuses(200, 200, 200) };
const TUNNEL = { client: statuses(101, 101, 101), upstream: statuses(101, 101, 101) };

const upload = (moment, framing, first) => ({
  moment,
  to: "web",
  asks: (target) => post(target, framing) + first,
  reads: HALF,
  signal: HINTS,
  floods: "upstream",
  status: { client: statuses(0, 0, 408), upstream: statuses(502, 502, 504) },
});
const download = (moment, fields, first, more = {}) => ({
  moment,
  to: "web",
  asks: get,
  answers: ok(...fields) + first,
  shows: HALF,
  floods: "client",
  status: CUT,
  ...more,
});
const tunnel = (moment, more) => ({ moment, to: "mux", asks: upgrade, answers: SWITCHING, status: TUNNEL, ...more });

/**
 * All moments. `status` is what the exchange is answered by fault, 0 for none, null where there is no exchange;
 * `floods` names the side towards which bytes have to pile up before its stall shows; `signal` tells the client that
 * the moment is there where no answer does.
 */
export const SCENES = [
  {
    moment: "connected but silent",
    to: "web",
    asks: { client: () => "", upstream: get },
    status: { client: statuses(null, null, 408), upstream: statuses(502, 502, 504) },
  },
  {
    moment: "mid head",
    to: "web",
    asks: { client: (target) => get(target).slice(0, -5), upstream: get },
    answers: "HTTP/1.1 200 OK\r\nContent-Le",
    status: { client: statuses(400, 0, 408), upstream: statuses(502, 502, 504) },
  },
  { moment: "held while its upstream is away", to: "away", asks: upgrade, status: { client: statuses(0, 0) } },
  upload("mid request body (length)", ENOUGH, HALF),
  upload("mid request body (chunked)", "Transfer-Encoding: chunked", HALF_CHUNKED),
  { moment: "waiting for the answer", to: "web", asks: get, signal: HINTS, status: NO_ANSWER },
  download("mid response body (length)", [ENOUGH], HALF),
  download("mid response body (chunked)", ["Transfer-Encoding: chunked"], HALF_CHUNKED, { chunked: true }),
  download("mid response body (close-delimited)", [], HALF, {
    status: { client: CUT.client, upstream: { rst: 200, stall: 200 } },
  }),
  download("mid response body (close-delimited, HTTP/1.0 client)", [], HALF, {
    asks: (target) => get(target, "1.0"),
    status: { client: CUT.client, upstream: { rst: 200, stall: 200 } },
  }),
  {
    moment: "idle keep-alive",
    to: "web",
    asks: get,
    answers: `${ok("Content-Length: 5")}whole`,
    shows: "whole",
    done: true,
    status: CUT,
  },
  {
    moment: "mid SSE while silent",
    to: "web",
    asks: get,
    answers: ok("Content-Type: text/event-stream", "Transfer-Encoding: chunked") + HALF_CHUNKED,
    shows: HALF,
    status: { client: statuses(200, 200), upstream: statuses(200, 200) },
  },
  { moment: "upgrade sent and 101 not yet", to: "mux", asks: upgrade, signal: HINTS, status: NO_ANSWER },
  tunnel("after 101 while idle", {}),
  tunnel("mid frame", {
    after: { client: halfFrame(true) },
    answers: { client: SWITCHING, upstream: SWITCHING + halfFrame(false) },
  }),
  tunnel("mid frame towards it", {
    after: { upstream: halfFrame(true) },
    answers: { client: SWITCHING + halfFrame(false), upstream: SWITCHING },
    floods: "both",
  }),
];

const FAULT_WEIGHTS = { fin: 10, rst: 20, stall: 2 };
/** A flood costs tens of megabytes. */
const FLOOD_WEIGHT = 0.004;
/** Of those that wait for an upstream that is away only so many are let in. */
const AWAY_WEIGHT = 3;

/** What an exchange of this cell is answered; 0 for nothing, null where there is no exchange. @param {Cell} cell */
export function statusOf({ scene, side, fault }) {
  return SCENES[scene].status[side][fault];
}

/** @typedef {{ scene: number; side: "client" | "upstream"; fault: "fin" | "rst" | "stall" }} Cell */

/** Does a stall of this side show only when bytes pile up towards it? */
export function needsFlood({ scene, side, fault }) {
  const { floods } = SCENES[scene];
  return fault === "stall" && (floods === side || floods === "both");
}

/** Every cell with its weight. @returns {{ weight: number; value: Cell }[]} */
export function cells() {
  return SCENES.flatMap(({ status, to }, scene) =>
    Object.entries(status).flatMap(([side, faults]) =>
      Object.keys(faults).map((fault) => {
        const value = { scene, side, fault };
        const usual = to === "away" ? AWAY_WEIGHT : FAULT_WEIGHTS[fault];
        return { weight: needsFlood(value) ? FLOOD_WEIGHT : usual, value };
      }),
    ),
  );
}

/** What a side-dependent part of a scene is for this cell. @param {unknown} part @param {string} side */
export function partOf(part, side) {
  return part !== null && typeof part === "object" ? part[side] : part;
}

/** How the upstream learns what it has to do. @param {Cell} cell @param {number} delayMs */
export function queryOf({ scene, side, fault }, delayMs) {
  return `?scene=${scene}&side=${side}&fault=${fault}&delay=${delayMs}`;
}

/** The other way round; undefined for a request that is no cell. @param {string} target */
export function cellOf(target) {
  const match = /\?scene=(\d+)&side=(\w+)&fault=(\w+)&delay=(\d+)$/.exec(target);
  if (!match) return undefined;
  return { scene: Number(match[1]), side: match[2], fault: match[3], delayMs: Number(match[4]) };
}
