// How each moment of the fault table is reached, in raw bytes: what the client sends, what the upstream has read by
// then and sends, what the client has got by then; and how bytes pile up towards a side that reads nothing.

import { head, upgrade } from "./client.ts";
import type { MomentName, Side } from "./faults.ts";
import { frameHead } from "./frames.ts";

/** How a moment is reached, for a fault of one side. */
export interface Script {
  /** Which upstream is asked. */
  to: "web" | "mux";
  /** What the client sends. The ray names the exchange in the log. */
  asks(ray: string): string;
  /** What the upstream has got by then; undefined when no connection to it is opened. */
  reads: string | undefined;
  /** What the upstream then sends. */
  answers?: string;
  /** What the client has got by then. */
  shows?: string;
  /** What the upstream has got after its answer. */
  arrives?: string;
  /** What the other side sends to a stalled side, so that bytes wait for it. */
  presses?: Record<Side, Buffer | undefined>;
  /** Is the exchange over at this moment, and its log line written? */
  done?: boolean;
}

/** More than the buffers of the kernel and of the daemon hold: 4 MiB to send, 6 MiB to receive, on each hop. */
const FLOOD = Buffer.alloc(48 * 1024 * 1024, "x");
const ENOUGH = "Content-Length: 100000000";

const get = (ray: string, version = "1.1"): string => head(`GET / HTTP/${version}`, "Host: a", `CF-Ray: ${ray}`);
const ok = (...fields: string[]): string => head("HTTP/1.1 200 OK", ...fields);
const SWITCHING = head(
  "HTTP/1.1 101 Switching Protocols",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
);
const latin1 = (bytes: Buffer): string => bytes.toString("latin1");

const GET: Script = { to: "web", asks: (ray) => get(ray), reads: "\r\n\r\n" };
const UPGRADE: Script = { to: "mux", asks: (ray) => upgrade("/mux", `CF-Ray: ${ray}`), reads: "\r\n\r\n" };
const TUNNEL: Script = { ...UPGRADE, answers: SWITCHING, shows: "\r\n\r\n" };

const upload = (framing: string, first: string, flood: Buffer): Script => ({
  to: "web",
  asks: (ray) => head("POST / HTTP/1.1", "Host: a", `CF-Ray: ${ray}`, framing) + first,
  reads: "half a body",
  presses: { upstream: flood, client: undefined },
});

const download = (field: string | undefined, first: string, flood: Buffer, version = "1.1"): Script => ({
  to: "web",
  asks: (ray) => get(ray, version),
  reads: "\r\n\r\n",
  answers: ok(...(field === undefined ? [] : [field])) + first,
  shows: "half a body",
  presses: { client: flood, upstream: undefined },
});

const chunked = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
const HALF_A_BODY = latin1(chunked(Buffer.from("half a body")));

/** The beginning of a binary frame; the flood ends it, if it comes. */
export const HALF_PAYLOAD = "half a frame";
const halfFrame = (masked: boolean): string =>
  latin1(frameHead(0x2, HALF_PAYLOAD.length + FLOOD.length, masked)) + HALF_PAYLOAD;

const CLIENT_MID_FRAME: Script = {
  ...TUNNEL,
  asks: (ray) => TUNNEL.asks(ray) + halfFrame(true),
  arrives: HALF_PAYLOAD,
  presses: { client: undefined, upstream: FLOOD },
};
const UPSTREAM_MID_FRAME: Script = {
  ...TUNNEL,
  answers: SWITCHING + halfFrame(false),
  shows: HALF_PAYLOAD,
  presses: { client: FLOOD, upstream: undefined },
};

const both = (script: Script): Record<Side, Script> => ({ client: script, upstream: script });

const SCRIPTS: Record<MomentName, Record<Side, Script>> = {
  "connected but silent": {
    client: { to: "web", asks: () => "", reads: undefined },
    upstream: { ...GET, reads: "" },
  },
  "mid head": {
    client: { to: "web", asks: (ray) => get(ray).slice(0, -5), reads: undefined },
    upstream: { ...GET, answers: "HTTP/1.1 200 OK\r\nContent-Le" },
  },
  "held while its upstream is away": both({
    to: "mux",
    asks: (ray) => upgrade("/away", `CF-Ray: ${ray}`),
    reads: undefined,
  }),
  "mid request body (length)": both(upload(ENOUGH, "half a body", FLOOD)),
  "mid request body (chunked)": both(upload("Transfer-Encoding: chunked", HALF_A_BODY, chunked(FLOOD))),
  "waiting for the answer": both(GET),
  "mid response body (length)": both(download(ENOUGH, "half a body", FLOOD)),
  "mid response body (chunked)": both(download("Transfer-Encoding: chunked", HALF_A_BODY, chunked(FLOOD))),
  "mid response body (close-delimited)": both(download(undefined, "half a body", FLOOD)),
  "mid response body (close-delimited, HTTP/1.0 client)": both(download(undefined, "half a body", FLOOD, "1.0")),
  "idle keep-alive": both({ ...GET, answers: `${ok("Content-Length: 5")}whole`, shows: "whole", done: true }),
  "mid SSE while silent": both({
    ...GET,
    answers: ok("Content-Type: text/event-stream", "Transfer-Encoding: chunked") + HALF_A_BODY,
    shows: "half a body",
  }),
  "upgrade sent and 101 not yet": both(UPGRADE),
  "after 101 while idle": both(TUNNEL),
  "mid frame": { client: CLIENT_MID_FRAME, upstream: UPSTREAM_MID_FRAME },
  "mid frame towards it": { client: UPSTREAM_MID_FRAME, upstream: CLIENT_MID_FRAME },
};

/** The script of a moment for a fault of this side. */
export function scriptOf(moment: MomentName, side: Side): Script {
  return SCRIPTS[moment][side];
}
