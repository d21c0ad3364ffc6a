// Tables of requests and their verdicts: refused with a status, or the exact bytes that the upstream got.

import { expect } from "vitest";
import { dial, head } from "./client.ts";
import { expectUnharmed, recorded, statuses, type Recording } from "./recording.ts";
import { within } from "./until.ts";

const LAST = head("GET /last HTTP/1.1", "Host: a", "Connection: close");
/** A body of one chunk. */
export const HELLO = "5\r\nhello\r\n0\r\n\r\n";
/** What is seen of a POST of `hello`, and of the request behind it. */
export const SERVED = "POST /x [hello], GET /last []";

/** Sends the bytes with another request behind them; resolves with what was seen upstream, and what was refused. */
async function become(bytes: string, port: number, upstream: Recording): Promise<string> {
  const before = upstream.seen().length;
  const rests = upstream.rests().length;
  const client = await dial(port);
  client.send(bytes + LAST);
  await within(client.ended, `the end of ${JSON.stringify(bytes)}`);
  // A request that overtakes nothing: what the daemon had sent before is there, too.
  const barrier = await dial(port);
  barrier.send(head("GET /barrier HTTP/1.1", "Host: a", "Connection: close"));
  await within(barrier.ended, "the barrier");
  const seen = upstream.seen().slice(before, -1);
  const got = statuses(client.received());
  // A refusal in the middle of a body: the upstream has seen that it began, on a connection that then ended.
  for (const peer of upstream.accepted.slice(rests)) {
    if (upstream.rests()[upstream.accepted.indexOf(peer)] !== "") await within(peer.ended, "the attempt to be aborted");
  }
  const refused = got.length > seen.length ? got.slice(seen.length) : [];
  expect(got, bytes).toEqual([...seen.map(() => 200), ...refused]);
  return [...seen.map(({ method, target, body }) => `${method} ${target} [${body}]`), ...refused].join(", ");
}

/**
 * Runs a table: one daemon, one connection per row, and all rows that went wrong in one report. A row says what must
 * have become of it: what the upstream saw, and behind that the status of what was refused, "400" for example.
 */
export async function expectRows(rows: Record<string, [bytes: string, ...outcomes: string[]]>): Promise<void> {
  const { daemon, upstream } = await recorded();
  const wrong: Record<string, string> = {};
  for (const [name, [bytes, ...outcomes]] of Object.entries(rows)) {
    const outcome = await become(bytes, daemon.port, upstream);
    if (!outcomes.includes(outcome)) wrong[name] = `${outcome} instead of ${outcomes.join(" or ")}`;
  }
  expect(wrong).toEqual({});
  await expectUnharmed(daemon);
}

/** A POST with these lines in its head, and what stands behind it. */
export const post = (body: string, ...fields: string[]): string =>
  head("POST /x HTTP/1.1", "Host: a", ...fields) + body;
