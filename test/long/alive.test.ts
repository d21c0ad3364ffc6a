// Real peers at both ends of a tunnel that pings often: they stay connected, and no message changes.

import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { pongs } from "../kit/admin.ts";
import { noPython, startPeer } from "../kit/peer.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { answer, talk } from "../kit/talk.ts";
import { muxUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const PINGS = 20;

async function startAsking(mux: number): Promise<TestDaemon> {
  const often = ["--ping-interval", "20ms", "--ping-timeout", "5s", "--admin", "127.0.0.1:0"];
  return await startDaemon(["--http", String(mux), "--mux", `${mux}/mux`, ...often]);
}

/** Each side is silent until it was pinged often, while the other streams. */
async function converse(daemon: TestDaemon, talker: WebSocket, side: "client" | "upstream"): Promise<void> {
  const other = side === "client" ? "upstream" : "client";
  await talk(
    talker,
    async () => (await pongs(daemon))[other] >= PINGS,
    async () => (await pongs(daemon))[side] >= PINGS,
  );
}

/** The mux talks, whatever connects answers. */
async function withTalkingMux(options: { deflate: boolean; connect: (url: string) => void }): Promise<void> {
  const mux = await muxUpstream({ silent: true, deflate: options.deflate });
  const daemon = await startAsking(mux.port);
  const connected = new Promise<WebSocket>((resolve) => mux.server.once("connection", resolve));
  options.connect(`ws://127.0.0.1:${daemon.port}/mux`);
  const talker = await within(connected, "a client", 5000);
  expect(talker.extensions).toBe(options.deflate ? "permessage-deflate" : "");
  await converse(daemon, talker, "upstream");
}

describe("alive through 20 pings each, with data flowing", { timeout: 20_000 }, () => {
  test("ws on both ends", async () => {
    await withTalkingMux({ deflate: false, connect: (url) => answer(new WebSocket(url)) });
  });

  test("ws on both ends, permessage-deflate for every message, context kept", async () => {
    const perMessageDeflate = { threshold: 0 };
    await withTalkingMux({
      deflate: true,
      connect: (url) => answer(new WebSocket(url, { perMessageDeflate })),
    });
  });

  test.skipIf(!globalThis.WebSocket)("Node's own WebSocket (Node 22 and later)", async () => {
    await withTalkingMux({ deflate: true, connect: (url) => answer(new globalThis.WebSocket(url)) });
  });

  test.skipIf(noPython)(`Python's websockets as the client${noPython ? `: ${noPython}` : ""}`, async () => {
    await withTalkingMux({ deflate: true, connect: (url) => void startPeer("answers.py", ["client", url]) });
  });

  test.skipIf(noPython)(`Python's websockets as the mux${noPython ? `: ${noPython}` : ""}`, async () => {
    const daemon = await startAsking(await startPeer("answers.py", ["server"]).printed("port"));
    const talker = new WebSocket(`ws://127.0.0.1:${daemon.port}/mux`, { perMessageDeflate: { threshold: 0 } });
    await within(new Promise((resolve) => talker.once("open", resolve)), "open", 5000);
    await converse(daemon, talker, "client");
    talker.terminate();
  });
});

test("pings of the peers themselves are answered by the other peer, ours by none but the asked", async () => {
  const mux = await muxUpstream();
  const daemon = await startAsking(mux.port);
  const client = new WebSocket(`ws://127.0.0.1:${daemon.port}/mux`);
  await within(new Promise((resolve) => client.once("open", resolve)), "open");
  const fromMux: string[] = [];
  const fromClient: string[] = [];
  client.on("pong", (data) => fromMux.push(data.toString()));
  mux.clients[0]?.on("pong", (data) => fromClient.push(data.toString()));
  // Of eight bytes, as long as ours.
  for (let n = 0; n < 10; n += 1) {
    const seen = new Promise((resolve) => client.once("pong", resolve));
    client.ping(`clients${n}`);
    await within(seen, "pong of the mux");
    const asked = new Promise((resolve) => mux.clients[0]?.once("pong", resolve));
    mux.clients[0]?.ping(`the mux${n}`);
    await within(asked, "pong of the client");
    const before = await pongs(daemon);
    await until(async () => (await pongs(daemon)).client > before.client + 1, "pings of ours");
  }
  expect(fromMux).toEqual(Array.from({ length: 10 }, (_, n) => `clients${n}`));
  expect(fromClient).toEqual(Array.from({ length: 10 }, (_, n) => `the mux${n}`));
  client.terminate();
});
