// Heads that are cheap to send must be cheap to parse: while one is parsed, all other clients wait.

import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { expectUnharmed, recorded, statuses } from "../kit/recording.ts";
import { within } from "../kit/until.ts";

/** How much longer a head may take than another of its size; quadratic ones take hundreds of times as long. */
const AT_MOST = 20;
const SIZE = 512 * 1024;
const repeat = (text: string): string => text.repeat(SIZE / text.length);

const HEADS: Record<string, string> = {
  "folded lines": `X: a\r\n${repeat(" b\r\n")}`,
  "a coding of many elements": `Transfer-Encoding: ${repeat("a,")}chunked\r\n`,
  "a coding of many empty elements": `Transfer-Encoding: ${repeat(",")}chunked\r\n`,
  "many options of Connection": `Connection: ${repeat("ab,")}x\r\n`,
  "many protocols": `Connection: upgrade\r\nUpgrade: ${repeat("a,")}websocket\r\n`,
  "many hops": `X-Forwarded-For: ${repeat(" ,\t")}1\r\n`,
  "many fields of hops": repeat("X-Forwarded-For: 1\r\n"),
  "many hosts of fronts": repeat("X-Forwarded-Host: a, b\r\n"),
  "many trailers to come": repeat("Trailer: x\r\n"),
  "many limits": repeat("Max-Forwards: 1\r\n"),
  "a long limit": `Max-Forwards: ${repeat("0")}\r\n`,
  "blanks in a value": `Origin: a${repeat(" ")}b\r\n`,
  "a long target": "",
};

test("no head costs more than others of its size", { timeout: 60_000 }, async () => {
  const { daemon } = await recorded(undefined, "--max-header-size", "1m");
  /** Milliseconds until the end of its connection. */
  const timeOf = async (fields: string, target = "/x", method = "OPTIONS"): Promise<number> => {
    const client = await dial(daemon.port);
    const began = performance.now();
    client.send(
      `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${fields}\r\n${fields.startsWith("T") ? "0\r\n\r\n" : ""}`,
    );
    await within(client.ended, `an answer to ${method} ${target.slice(0, 20)} ${fields.slice(0, 40)}`, 20_000);
    expect(statuses(client.received())).toHaveLength(1);
    return performance.now() - began;
  };
  await timeOf("X: a\r\n");
  const plain = await timeOf(`X: ${repeat("a")}\r\n`);
  const costs: Record<string, number> = {};
  for (const [name, fields] of Object.entries(HEADS)) {
    const target = fields === "" ? `http://a/${repeat("a@/")}` : "/x";
    costs[name] = Math.round((await timeOf(fields, target)) / Math.max(plain, 10));
  }
  expect(Object.entries(costs).filter(([, times]) => times > AT_MOST)).toEqual([]);
  await expectUnharmed(daemon);
});

test("a list of more elements than a call takes arguments ends nothing", async () => {
  const { daemon } = await recorded(undefined, "--max-header-size", "1m");
  const client = await dial(daemon.port);
  const many = "a,".repeat(400_000);
  client.send(head("POST /x HTTP/1.1", "Host: a", "Connection: close", `Transfer-Encoding: ${many}chunked`));
  await within(client.ended, "an answer");
  expect(statuses(client.received())).toEqual([400]);
  await expectUnharmed(daemon);
});
