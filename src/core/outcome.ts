// The record that each exchange leaves when it ends, and the interface that receives it.
// exchange and tunnel fill it in and never log or count; proxy/ passes it to the log and the metrics.

import type { FailureCode, How, Side, Why } from "./errors.ts";

/** Where an exchange was when it ended. */
export type Phase = "connect" | "request_body" | "waiting" | "response_body" | "tunnel" | "head";

/**
 * Why a request that may be sent only once was sent again all the same: not one byte of it left this machine
 * (`unsent`), or all of it met a closed socket (`unread`). RFC 9110 9.2.2.
 */
export type Proof = "unsent" | "unread";

/** One try to get an answer from an upstream. */
export interface Attempt {
  /** Was it made on a pooled connection? */
  reused: boolean;
  /** How long that connection had been idle, in milliseconds. */
  idleMs: number;
  /** Why it failed (`ECONNREFUSED`, `ECONNRESET`), undefined if it did not. */
  code?: string;
  /** How it is known that the upstream did not get the request; undefined where that is not known. */
  proof?: Proof;
  phase: Phase;
  /** How often the same failure came in a row while the request was held; 1 otherwise. */
  times: number;
}

/** What became of one exchange. */
export interface Outcome {
  id: string;
  kind: "request" | "tunnel";
  /** The upstream's name: `http`, or `mux`. Empty when no upstream was chosen. */
  route: string;
  method: string;
  /** Without the query, which may carry tokens. */
  path: string;
  /** The status of the answer; 101 for a tunnel, 0 if the client left before an answer. */
  status: number;
  error: FailureCode | undefined;
  /** What was wrong with the request: for 400 and 403. */
  why?: Why | undefined;
  /** Body or tunnel bytes from the client. */
  bytesIn: number;
  /** Body or tunnel bytes to the client. */
  bytesOut: number;
  ms: number;
  attempts: Attempt[];
  by: Side;
  how: How;
  phase: Phase;
  /**
   * A reset by which the client left an event stream, or a tunnel in which nothing was on its way: nothing was lost.
   */
  left?: true | undefined;
  /** The client's address as a trusted front states it, else the peer's; empty on a unix socket. */
  client?: string | undefined;
  /** Cloudflare's id of the request, when the front gave one. */
  ray: string | undefined;
}

/**
 * Receives what happens in exchanges. Called synchronously while bytes are relayed: must be cheap and must not throw.
 */
export interface Observer {
  /** An exchange is over. */
  ended(outcome: Outcome): void;
  /** A tunnel was opened to this upstream. */
  opened(route: string): void;
  /** A side of a tunnel answered a ping. */
  ponged(side: "client" | "upstream", rttMs: number): void;
}

const prefix = Math.random().toString(36).slice(2, 6);
let count = 0;

/** A short id, unique within this process and unlikely to repeat after a restart. */
export function nextId(): string {
  count += 1;
  return `${prefix}-${count.toString(36)}`;
}
