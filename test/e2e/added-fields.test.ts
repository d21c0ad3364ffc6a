// What is added to a request, and what is left of it with --forwarded off and --via off; loops are noticed all the
// same.

import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { startSinglePort } from "../../dist/index.js";
import { dial, head, upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, requestHead } from "../kit/messages.ts";
import { rawUpstream, type RawUpstream } from "../kit/upstream.ts";

const FRONT = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "CF-Ray: abc-DUS"];
/** The upgrade of a client's: the fields it has of its own. */
const OWN = ["Host: localhost", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
const SIGNED = expect.stringMatching(/^X-Single-Port-Via: 1\.1 single-port \([0-9a-f]+\)$/) as string;

const OFF = { SINGLE_PORT_FORWARDED: "off", SINGLE_PORT_VIA: "off" };
/** Starts a proxy in front of an upstream, with both turned off; resolves with its port. */
const starts: [how: string, start: (http: number) => Promise<number>][] = [
  [
    "by the command line",
    async (http) => (await startDaemon(["--http", String(http), "--forwarded", "off", "--via", "off"])).port,
  ],
  ["by the environment", async (http) => (await startDaemon(["--http", String(http)], OFF)).port],
  [
    "by a program",
    async (http) => {
      const proxy = await startSinglePort({ port: 0, http, forwarded: false, via: "off", probeInterval: 0, drain: 0 });
      onTestFinished(() => proxy.close());
      return proxy.address.port;
    },
  ],
];

test.each(starts)("turned off %s, nothing is said of the client, and Via is not there", async (_, start) => {
  const up = await rawUpstream();
  const port = await start(up.port);
  const sent = async (bytes: string): Promise<string[]> => {
    (await dial(port)).send(bytes);
    return (await requestHead(await up.next())).fields.map((field) => field.join(": "));
  };
  const plain = ["Connection: keep-alive"];
  const wish = ["Connection: Upgrade", "Upgrade: websocket"];
  expect(await sent(head("GET / HTTP/1.1", "Host: a"))).toEqual(["Host: a", SIGNED, ...plain]);
  expect(await sent(head("GET / HTTP/1.1", "Host: a", ...FRONT))).toEqual(["Host: a", ...FRONT, SIGNED, ...plain]);
  expect(await sent(upgrade("/hmr"))).toEqual([...OWN, SIGNED, ...wish]);
  expect(await sent(upgrade("/hmr", ...FRONT))).toEqual([...OWN, ...FRONT, SIGNED, ...wish]);
  // A client of its own cannot take it away, and what it signs goes along.
  const nominated = ["Connection: X-Single-Port-Via, Via", "X-Single-Port-Via: 1.0 other", "X-Gone: 1"];
  expect(await sent(head("GET / HTTP/1.1", "Host: a", ...nominated))).toEqual([
    "Host: a",
    "X-Gone: 1",
    expect.stringMatching(/^X-Single-Port-Via: 1\.0 other, 1\.1 single-port \(/) as string,
    ...plain,
  ]);
});

test("with --forwarded off what anybody says who is no trusted front is dropped as ever", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--forwarded", "off", "--trust-proxy", "none"]);
  (await dial(daemon.port)).send(head("GET / HTTP/1.1", "Host: a", ...FRONT));
  const { fields } = await requestHead(await up.next());
  expect(fields.map(([name]) => name)).toEqual(["Host", "Via", "Connection"]);
});

/**
 * Leads to a port that is known later only. What passes gets `more` into each head, as another proxy might put it
 * there.
 */
async function wire(...more: string[]): Promise<{ up: RawUpstream; lead: (port: number) => void }> {
  const up = await rawUpstream();
  const lead = (port: number): void => {
    up.script = ({ socket }) => {
      const onward = connect(port, "127.0.0.1").on("error", () => {});
      onTestFinished(() => void onward.destroy());
      socket.on("data", (chunk: Buffer) =>
        onward.write(chunk.toString("latin1").replace(/\r\n/, ["", ...more, ""].join("\r\n")), "latin1"),
      );
      onward.pipe(socket);
    };
  };
  return { up, lead };
}

const NOMINATED = "Connection: X-Single-Port-Via, Via";
const REQUESTS: [string, string][] = [
  ["a request", head("GET /round HTTP/1.1", "Host: a")],
  ["an upgrade", upgrade("/round")],
];

test.each(REQUESTS)(
  "%s that comes back to the proxy it left is a loop, whatever it is told to forget",
  async (_, bytes) => {
    for (const more of [[], [NOMINATED]]) {
      const { up, lead } = await wire(...more);
      const daemon = await startDaemon(["--http", String(up.port), "--via", "off"]);
      lead(daemon.port);
      const { status, body } = await ask(daemon.port, bytes);
      expect([status, JSON.parse(body)]).toMatchObject([508, { error: { code: "loop_detected" } }]);
      expect(up.accepted).toHaveLength(1);
    }
  },
);

test.each([
  ["off", "off"],
  ["off", "on"],
  ["on", "off"],
])("two proxies in front of each other, with --via %s and %s, notice the loop", async (one, other) => {
  const { up, lead } = await wire();
  const first = await startDaemon(["--http", String(up.port), "--via", one]);
  const second = await startDaemon(["--http", String(first.port), "--via", other]);
  lead(second.port);
  for (const [, bytes] of REQUESTS) {
    const { status, body } = await ask(first.port, bytes);
    expect([status, JSON.parse(body)]).toMatchObject([508, { error: { code: "loop_detected" } }]);
  }
  expect(up.accepted).toHaveLength(2);
});
