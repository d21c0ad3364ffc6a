import { expect, test } from "vitest";
import { clientOf, readRequestHead } from "../../src/http/request-head.ts";
import { Latencies, SECONDS } from "../../src/ops/latencies.ts";

test("quantiles lie within their bucket, by upstream; above the highest bound nothing is known", () => {
  const latencies = new Latencies();
  expect(latencies.quantiles("http")).toBeUndefined();
  for (let i = 0; i < 98; i += 1) latencies.observe("http", 0.03);
  latencies.observe("http", 0.7);
  latencies.observe("http", 500);
  latencies.observe("mux", 0.0005);
  expect(latencies.quantiles("http")).toMatchObject({ count: 100, p50: 37.8, p95: 49.2, p99: 1000 });
  latencies.observe("http", 500);
  expect(latencies.quantiles("http")?.p99).toBeUndefined();
  expect(latencies.quantiles("mux")).toMatchObject({ count: 1, p99: 1 });
  expect([...SECONDS].sort((a, b) => a - b)).toEqual(SECONDS);
});

const proxies = { address: "127.0.0.1", trusted: true };

test.each<[string, string[], typeof proxies, string]>([
  ["the last hop that a front names", ["X-Forwarded-For", "10.9.9.9, 203.0.113.9"], proxies, "203.0.113.9"],
  [
    "what Cloudflare vouches for",
    ["CF-Ray", "x", "CF-Connecting-IP", "203.0.113.7", "X-Forwarded-For", "1.1.1.1"],
    proxies,
    "203.0.113.7",
  ],
  ["the peer itself without a front", [], proxies, "127.0.0.1"],
  [
    "the peer itself where it is no front",
    ["X-Forwarded-For", "1.2.3.4"],
    { address: "9.9.9.9", trusted: false },
    "9.9.9.9",
  ],
  ["no more than an address is long", ["X-Forwarded-For", "x".repeat(9000)], proxies, "x".repeat(64)],
])("the client is %s", (_what, fields, peer, client) => {
  expect(clientOf(readRequestHead(fields), peer)).toBe(client);
});
