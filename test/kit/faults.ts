// The fault table: side x fault x moment, with the expected outcome and log line of each cell. The tests named fault-*
// are generated from it, by moment; test/kit/moments.ts says how each moment is reached.

import type { RawClient } from "./client.ts";
import type { Cable } from "./network.ts";

/** Which side of the proxy has the fault; also the `by` of the log. */
export type Side = "client" | "upstream";
export const SIDES: readonly Side[] = ["client", "upstream"];
export type FaultName = "fin" | "rst" | "stall" | "vanish";

/** The faults of a peer. A stalled peer's kernel still answers; from a vanished peer no packet comes any more. */
export const FAULTS: Record<FaultName, (peer: RawClient, cable?: Cable) => void> = {
  fin: (peer) => peer.halfClose(),
  rst: (peer) => peer.reset(),
  stall: (peer) => peer.stall(),
  vanish: (_peer, cable) => cable?.cut(),
};

/** The expected outcome of a cell. */
export interface Expected {
  /** `how` and `phase` of the exchange's line in the log; undefined where no exchange is open, and so no line. */
  log: { how: string; phase: string } | undefined;
  /** The status that the client got; 0 if it left before. */
  status: number;
  /** The number of attempts: an idempotent request without a response is sent again. */
  attempts: number;
  /** The code of the Close that the other side of a tunnel gets; none where it would be inside a frame. */
  close: number | undefined;
  /** Only TCP keepalive can tell: 1 s and 10 probes, 1 s apart, in these tests. */
  slow: boolean;
}

/** A cell that does not exist, and why. */
export interface LeftOut {
  leftOut: string;
}

/** One moment of the table: the four faults of either side. */
export type Row = Record<Side, Record<FaultName, Expected | LeftOut>>;

/** The moment's line in the log and what the client is answered. */
const ends = (how: string, phase: string, status: number, more: Partial<Expected> = {}): Expected => ({
  log: { how, phase },
  status,
  attempts: 1,
  close: undefined,
  slow: false,
  ...more,
});
/** Nothing was under way. */
const quiet: Expected = { log: undefined, status: 0, attempts: 0, close: undefined, slow: false };
const leftOut = (why: string): LeftOut => ({ leftOut: why });

const MAX_ATTEMPTS = { attempts: 3 };
const SLOW = { slow: true };
const GOING_AWAY = { close: 1001 };
const SERVICE_RESTART = { close: 1012 };

const WAITS = leftOut("one that waits is silent anyway, and TCP says it is there");
const AWAY = leftOut("nobody is there to be at fault");
const IS_SILENT = leftOut("an event stream may be silent; probes of the link find its upstream");

const midRequestBody: Row = {
  client: {
    fin: ends("fin", "request_body", 0),
    rst: ends("rst", "request_body", 0),
    stall: ends("timeout", "request_body", 408),
    vanish: ends("timeout", "request_body", 408),
  },
  upstream: {
    fin: ends("fin", "request_body", 502),
    rst: ends("rst", "request_body", 502),
    stall: ends("timeout", "request_body", 504),
    vanish: ends("timeout", "request_body", 504),
  },
};

const midResponseBody: Row = {
  client: {
    fin: ends("fin", "response_body", 200),
    rst: ends("rst", "response_body", 200),
    stall: ends("timeout", "response_body", 200),
    vanish: ends("timeout", "response_body", 200),
  },
  upstream: {
    fin: ends("fin", "response_body", 200),
    rst: ends("rst", "response_body", 200),
    stall: ends("timeout", "response_body", 200),
    vanish: ends("timeout", "response_body", 200),
  },
};

const closeDelimited: Row = {
  client: midResponseBody.client,
  upstream: { ...midResponseBody.upstream, fin: leftOut("a FIN is how such a body ends") },
};

/** The table. */
export const TABLE = {
  "connected but silent": {
    client: { fin: quiet, rst: quiet, stall: ends("timeout", "head", 408), vanish: ends("timeout", "head", 408) },
    upstream: {
      fin: ends("fin", "waiting", 502, MAX_ATTEMPTS),
      rst: ends("rst", "waiting", 502, MAX_ATTEMPTS),
      stall: ends("timeout", "waiting", 504),
      vanish: leftOut("it is dialled with a request in hand: the same as waiting for the answer"),
    },
  },
  "mid head": {
    client: {
      fin: ends("fin", "head", 400),
      rst: ends("rst", "head", 0),
      stall: ends("timeout", "head", 408),
      vanish: ends("timeout", "head", 408),
    },
    upstream: {
      fin: ends("fin", "waiting", 502),
      rst: ends("rst", "waiting", 502),
      stall: ends("timeout", "waiting", 504),
      vanish: ends("timeout", "waiting", 504),
    },
  },
  "held while its upstream is away": {
    client: {
      fin: ends("fin", "connect", 0, { attempts: 0 }),
      rst: ends("rst", "connect", 0, { attempts: 0 }),
      stall: WAITS,
      vanish: ends("timeout", "connect", 0, { attempts: 0, slow: true }),
    },
    upstream: { fin: AWAY, rst: AWAY, stall: AWAY, vanish: AWAY },
  },
  "mid request body (length)": midRequestBody,
  "mid request body (chunked)": midRequestBody,
  "waiting for the answer": {
    client: {
      fin: ends("fin", "waiting", 0),
      rst: ends("rst", "waiting", 0),
      stall: WAITS,
      vanish: ends("timeout", "waiting", 0, SLOW),
    },
    upstream: {
      fin: ends("fin", "waiting", 502, MAX_ATTEMPTS),
      rst: ends("rst", "waiting", 502, MAX_ATTEMPTS),
      stall: ends("timeout", "waiting", 504),
      vanish: ends("timeout", "waiting", 504),
    },
  },
  "mid response body (length)": midResponseBody,
  "mid response body (chunked)": midResponseBody,
  "mid response body (close-delimited)": closeDelimited,
  "mid response body (close-delimited, HTTP/1.0 client)": closeDelimited,
  "idle keep-alive": {
    client: { fin: quiet, rst: quiet, stall: quiet, vanish: quiet },
    upstream: { fin: quiet, rst: quiet, stall: quiet, vanish: quiet },
  },
  "mid SSE while silent": {
    client: { ...midResponseBody.client, stall: WAITS, vanish: ends("timeout", "response_body", 200, SLOW) },
    upstream: { ...midResponseBody.upstream, stall: IS_SILENT, vanish: ends("timeout", "response_body", 200, SLOW) },
  },
  "upgrade sent and 101 not yet": {
    client: {
      fin: ends("fin", "waiting", 0),
      rst: ends("rst", "waiting", 0),
      stall: WAITS,
      vanish: ends("timeout", "waiting", 0, SLOW),
    },
    upstream: {
      fin: ends("fin", "waiting", 502, MAX_ATTEMPTS),
      rst: ends("rst", "waiting", 502, MAX_ATTEMPTS),
      stall: ends("timeout", "waiting", 504),
      vanish: ends("timeout", "waiting", 504),
    },
  },
  "after 101 while idle": {
    client: {
      fin: ends("fin", "tunnel", 101, GOING_AWAY),
      rst: ends("rst", "tunnel", 101, GOING_AWAY),
      stall: ends("no_pong", "tunnel", 101, GOING_AWAY),
      vanish: ends("no_pong", "tunnel", 101, GOING_AWAY),
    },
    upstream: {
      fin: ends("fin", "tunnel", 101, SERVICE_RESTART),
      rst: ends("rst", "tunnel", 101, SERVICE_RESTART),
      stall: ends("no_pong", "tunnel", 101, SERVICE_RESTART),
      vanish: ends("no_pong", "tunnel", 101, SERVICE_RESTART),
    },
  },
  "mid frame": {
    client: {
      fin: ends("fin", "tunnel", 101),
      rst: ends("rst", "tunnel", 101),
      stall: ends("no_pong", "tunnel", 101),
      vanish: ends("no_pong", "tunnel", 101),
    },
    upstream: {
      fin: ends("fin", "tunnel", 101),
      rst: ends("rst", "tunnel", 101),
      stall: ends("no_pong", "tunnel", 101),
      vanish: ends("no_pong", "tunnel", 101),
    },
  },
  "mid frame towards it": {
    client: {
      fin: ends("fin", "tunnel", 101, GOING_AWAY),
      rst: ends("rst", "tunnel", 101, GOING_AWAY),
      stall: ends("timeout", "tunnel", 101, GOING_AWAY),
      vanish: ends("timeout", "tunnel", 101, GOING_AWAY),
    },
    upstream: {
      fin: ends("fin", "tunnel", 101, SERVICE_RESTART),
      rst: ends("rst", "tunnel", 101, SERVICE_RESTART),
      stall: ends("timeout", "tunnel", 101, SERVICE_RESTART),
      vanish: ends("timeout", "tunnel", 101, SERVICE_RESTART),
    },
  },
} satisfies Record<string, Row>;

/** A row's name. */
export type MomentName = keyof typeof TABLE;
/** All moments, in the order of the table. */
export const MOMENTS: readonly MomentName[] = Object.keys(TABLE) as MomentName[];

/** One cell that exists. */
export interface Cell {
  moment: MomentName;
  side: Side;
  fault: FaultName;
  expected: Expected;
  /** As it stands in the name of its test. */
  title: string;
}

/** The cells of these moments, sides and faults that make sense. */
export function cells(moments: readonly MomentName[], sides: readonly Side[], faults: readonly FaultName[]): Cell[] {
  const found: Cell[] = [];
  for (const moment of moments) {
    for (const side of sides) {
      for (const fault of faults) {
        const expected: Expected | LeftOut = TABLE[moment][side][fault];
        if (!("leftOut" in expected))
          found.push({ moment, side, fault, expected, title: `${moment}: ${side} ${fault}` });
      }
    }
  }
  return found;
}
