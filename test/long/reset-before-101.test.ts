// The resets of test/e2e/reset-before-101.test.ts behind a front, and against the server that single-port replaces.

import { expect, test } from "vitest";
import { caddyInFrontOf, fetchReplaced, noCaddy, startReplaced } from "../kit/programs.ts";
import { daemonOf, expectUnharmed, ROUNDS, slowMux, storm } from "../kit/resets.ts";
import { within } from "../kit/until.ts";

test("1,000 resets before the 101 end nothing but themselves behind Caddy", { timeout: 30_000 }, async (context) => {
  const reason = noCaddy();
  context.skip(reason !== undefined, reason);
  const mux = await slowMux();
  const daemon = await daemonOf(mux);
  const caddy = await caddyInFrontOf(daemon.port);
  const sockets = await daemon.settledSockets();
  expect(await storm(caddy.port, mux)).toBe(ROUNDS);
  await expectUnharmed(daemon, sockets, caddy.port);
});

test("the same resets kill the server that single-port replaces", { timeout: 90_000 }, async (context) => {
  const file = (await fetchReplaced()) ?? "";
  context.skip(file === "", "the npm registry cannot be reached");
  const mux = await slowMux();
  const replaced = await startReplaced(file, mux.upstream.port);
  const closed = new Promise((resolve) => replaced.child.once("close", resolve));
  expect(await storm(replaced.port, mux, closed)).toBeLessThan(ROUNDS);
  expect(await within(closed, "the end of the server")).toBe(1);
  expect(replaced.output()).toMatch(/Unhandled 'error' event[^]*ECONNRESET/);
});
