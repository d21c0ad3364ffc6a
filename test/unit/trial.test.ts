// What a request meets on a connection that had been idle, on real sockets: the far end acts while node does not look.

import { Readable } from "node:stream";
import type { IncomingMessage } from "node:http";
import { expect, test, vi } from "vitest";
import type { Client } from "../../src/core/client.ts";
import { guard } from "../../src/core/sockets.ts";
import { RequestBody } from "../../src/exchange/request-body.ts";
import { Trial } from "../../src/exchange/trial.ts";
import { farPair, type Deed, type FarPair } from "../kit/far.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 120_000 });

const HEAD = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
const SMALL = 500;
const LARGE = 10 * 1024;

async function bodyOf(bytes: number): Promise<RequestBody> {
  const req = new Readable({ read: () => {} });
  const client = { readOn: () => {}, stopReading: () => {} } as unknown as Client;
  const body = new RequestBody(req as unknown as IncomingMessage, client, false, bytes, () => {});
  req.push(Buffer.alloc(bytes, "b"));
  req.push(null);
  await until(() => body.complete, "the body");
  return body;
}

/** What is known in the end, as call.ts finds out. */
async function proofOn({ ours }: FarPair, trial: Trial): Promise<string | undefined> {
  const over = new Promise<void>((resolve) => {
    ours.once("end", () => trial.fin(() => resolve()));
    ours.once("close", () => resolve());
  });
  ours.resume();
  await within(over, "the end of the connection", 30_000);
  return trial.proof(false);
}

interface Row {
  what: string;
  bytes?: number;
  /** Bytes that the far end reads at a time. */
  reads?: number;
  /** Before the request is sent, without our noticing. */
  before?: Exclude<Deed, "read">[];
  after?: Deed[];
  proof?: string;
}

const ROWS: Row[] = [
  { what: "closed while idle", before: ["close"], proof: "unread" },
  { what: "closed while idle, a long request", bytes: LARGE, before: ["close"] },
  { what: "reset while idle", before: ["reset"], proof: "unsent" },
  { what: "reset while idle, a long request", bytes: LARGE, before: ["reset"], proof: "unsent" },
  { what: "half-closed, then reset while idle", before: ["half-close", "reset"], proof: "unsent" },
  {
    what: "half-closed while idle, then closed with the request unread",
    before: ["half-close"],
    after: ["close"],
    proof: "unread",
  },
  { what: "half-closed while idle, then read, then closed", before: ["half-close"], after: ["read", "close"] },
  { what: "read, then closed", after: ["read", "close"] },
  { what: "a long request read, then closed", bytes: LARGE, after: ["read", "close"] },
  { what: "read, then reset", after: ["read", "reset"] },
  { what: "read, then half-closed, then closed", after: ["read", "half-close", "close"] },
  { what: "closed with the request unread", after: ["close"] },
  { what: "a long request read in part, then closed", bytes: LARGE, reads: 4096, after: ["read", "close"] },
  {
    what: "a long request read in part, then half-closed, then closed",
    bytes: LARGE,
    reads: 4096,
    after: ["read", "half-close", "close"],
  },
];

test.skipIf(process.platform !== "linux").each(ROWS)("$what proves $proof", async (row) => {
  const { bytes = SMALL, reads, before = [], after = [], proof } = row;
  const pair = await farPair(reads);
  guard(pair.ours);
  const trial = new Trial(pair.ours);
  const body = await bodyOf(bytes);
  for (const deed of before) pair.unseen(deed);
  trial.send(HEAD, body);
  const known = proofOn(pair, trial);
  for (const deed of after) await pair.does(deed);
  expect(await known).toBe(proof);
});
