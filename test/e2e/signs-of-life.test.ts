// Every byte from an upstream counts as a sign of life, also one that is no response and no pong.

import { expect, test } from "vitest";
import type { Report } from "../../src/ops/report.ts";
import { askAdmin } from "../kit/admin.ts";
import { head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { openStream } from "../kit/events.ts";
import { openRaw } from "../kit/tunnel.ts";
import { every, until } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";
import { encode, TEXT } from "../kit/wire.ts";

const text = (masked: boolean): Buffer => encode({ opcode: TEXT, payload: Buffer.from("x") }, masked);

test("while others stream, a tunnel without a pong is no sign against its mux", async () => {
  const upstream = await rawUpstream();
  const limits = ["--ping-interval", "300ms", "--ping-timeout", "600ms"];
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, ...limits]);
  const streaming = await openRaw(daemon, upstream);
  const silent = await openRaw(daemon, upstream);
  every(50, () => {
    streaming.mux.send(text(false));
    for (const { client } of [streaming, silent]) client.send(text(true));
  });
  await silent.client.ended;
  await daemon.logged(({ how, by }) => how === "no_pong" && by === "upstream", "a tunnel without a pong");
  expect(daemon.log.filter(({ state }) => state === "suspect" || state === "reconnecting")).toEqual([]);
});

test.each([
  ["bare", "Connection: close", "data: 0\n\n"],
  ["in chunks", "Transfer-Encoding: chunked", "9\r\ndata: 0\n\n\r\n"],
])("an event stream (%s) tells when its upstream was heard last, also when it has ended", async (_, field, event) => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--admin", "127.0.0.1:0"]);
  const opened = openStream(daemon.port);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(`${head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", field)}${event}`);
  const stream = await opened;
  peer.send(event);
  await until(() => stream.text().length > 10, "a second event");
  const began = performance.now();
  const heard = async (): Promise<number> => {
    const report = JSON.parse(await askAdmin(daemon, "/status")) as Report;
    return report.links[0]?.lastHeardAgeMs ?? Infinity;
  };
  await until(async () => (await heard()) > 500, "silence");
  const stop = every(20, () => peer.send(event));
  await until(async () => (await heard()) < 200, "an event");
  stop();
  peer.halfClose();
  await daemon.logged(({ path }) => path === "/events", "its end");
  expect(await heard()).toBeLessThan(performance.now() - began);
});
