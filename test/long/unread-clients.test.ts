// Clients that nobody reads from: node hears neither their FIN nor their RST, and an event stream may be silent for
// ever.

import { expect, test, vi } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { openRaw } from "../kit/tunnel.ts";
import { until, within } from "../kit/until.ts";
import { rawUpstream, type RawUpstream } from "../kit/upstream.ts";
import { BINARY, frameHeader } from "../kit/wire.ts";

// The kernels take megabytes before they take no more.
vi.setConfig({ testTimeout: 60_000 });

const STREAM = head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked");

interface Open {
  client: RawClient;
  peer: RawClient;
}

/**
 * Sends more and more until nothing of it is read any more. In pieces, since behind a full buffer of the kernel no FIN
 * can come.
 */
async function fill(daemon: TestDaemon, client: RawClient, piece: string): Promise<void> {
  let unread = 0;
  await until(
    () => {
      unread = daemon.unread(client.socket.localPort ?? 0) > 0 ? unread + 1 : 0;
      if (unread === 0) client.send(piece);
      return unread > 5;
    },
    "bytes that are left to the kernel",
    20_000,
  );
}

/** Opens an event stream, with requests behind the one for it. */
async function pipelined(daemon: TestDaemon, upstream: RawUpstream): Promise<Open> {
  const client = await dial(daemon.port);
  const get = head("GET /events HTTP/1.1", "Host: a");
  client.send(get);
  const peer = await upstream.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(STREAM);
  await client.readUntil("text/event-stream");
  await fill(daemon, client, get.repeat(400));
  return { client, peer };
}

/** Opens an event stream that answers a POST, and does not read its body. */
async function uploaded(daemon: TestDaemon, upstream: RawUpstream): Promise<Open> {
  const client = await dial(daemon.port);
  client.send(head("POST /events HTTP/1.1", "Host: a", "Content-Length: 1000000000"));
  const peer = await upstream.next();
  await peer.readUntil("\r\n\r\n");
  peer.stall();
  peer.send(STREAM);
  await client.readUntil("text/event-stream");
  await fill(daemon, client, "x".repeat(64 * 1024));
  return { client, peer };
}

test.each([
  ["pipelines behind an event stream", "fin", pipelined],
  ["pipelines behind an event stream", "rst", pipelined],
  ["uploads to an event stream that does not read", "fin", uploaded],
  ["uploads to an event stream that does not read", "rst", uploaded],
] as const)("a client that %s and leaves with a %s is noticed; one that stays is left alone", async (_, how, open) => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", String(upstream.port), "--body-timeout", "0", "--request-timeout", "0"]);
  const stays = await open(daemon, upstream);
  const leaves = await open(daemon, upstream);
  if (how === "rst") leaves.client.reset();
  else leaves.client.socket.end();
  const line = await daemon.logged(({ msg }) => msg === "request ended", "the end", 10_000);
  expect(line).toMatchObject({ by: "client", how, phase: "response_body", path: "/events", status: 200 });
  leaves.peer.socket.resume();
  await within(leaves.peer.ended, "the end of the upstream's connection");
  stays.peer.send("5\r\nevent\r\n");
  await stays.client.readUntil("event\r\n");
  expect(daemon.log.filter(({ msg }) => msg === "request ended")).toHaveLength(1);
});

test("a client that is reset while its mux takes nothing ends its tunnel; one that stays is left alone", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, "--stall-timeout", "10m"]);
  const flooding = async (): Promise<Open> => {
    const { client, mux } = await openRaw(daemon, upstream);
    mux.stall();
    client.send(frameHeader({ opcode: BINARY }, 1_000_000_000, true));
    await fill(daemon, client, "x".repeat(64 * 1024));
    return { client, peer: mux };
  };
  const stays = await flooding();
  const leaves = await flooding();
  leaves.client.reset();
  const line = await daemon.logged(({ msg }) => msg === "tunnel ended", "the end", 10_000);
  expect(line).toMatchObject({ by: "client", how: "rst" });
  leaves.peer.socket.resume();
  await within(leaves.peer.ended, "the end of the upstream's connection");
  stays.peer.socket.resume();
  const before = stays.peer.received().length;
  await until(() => stays.peer.received().length > before, "what waited");
  expect(daemon.log.filter(({ msg }) => msg === "tunnel ended")).toHaveLength(1);
});
