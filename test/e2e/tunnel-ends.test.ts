// How a tunnel ends when either side is lost, in each possible way: what the other side sees.

import { describe, expect, test, vi } from "vitest";
import type { Report } from "../../src/ops/report.ts";
import { askAdmin } from "../kit/admin.ts";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { close, encode, receive, TEXT } from "../kit/wire.ts";
import { closed, openRaw, openWs, type RawTunnel } from "../kit/tunnel.ts";
import { muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { every, until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

async function open(...more: string[]): Promise<RawTunnel & { daemon: TestDaemon; sockets: number }> {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, ...more]);
  const tunnel = await openRaw(daemon, upstream);
  return { ...tunnel, daemon, sockets: daemon.sockets() };
}

const text = (payload: string, masked: boolean): Buffer =>
  encode({ opcode: TEXT, payload: Buffer.from(payload) }, masked);

const losses: [string, (peer: RawClient) => void][] = [
  ["FIN", (peer) => peer.halfClose()],
  ["RST", (peer) => peer.reset()],
];

describe.each(losses)("lost by %s", (kind, lose) => {
  const how = kind.toLowerCase();

  test("the mux, between frames: the client gets Close 1012 behind what came, then FIN", async () => {
    const { client, mux, toClient, daemon, sockets } = await open();
    mux.send(text("last words", false));
    await client.readUntil("last words");
    lose(mux);
    expect(await within(client.ended, "the end")).toBe("fin");
    expect(toClient()).toEqual(Buffer.concat([text("last words", false), close(1012, false)]));
    client.halfClose();
    await daemon.logged((line) => line["by"] === "upstream" && line["how"] === how, "the outcome");
    await until(() => daemon.sockets() <= sockets - 2, "sockets gone");
  });

  test("the mux, inside a frame: the client gets the half frame and an end, no Close inside it", async () => {
    const { client, mux, toClient } = await open();
    const half = text("never to be finished", false).subarray(0, 12);
    mux.send(half);
    await until(() => toClient().length === half.length, "half a frame");
    lose(mux);
    await within(client.ended, "the end");
    expect(toClient()).toEqual(half);
  });

  test("the client, between frames: the mux gets a masked Close 1001", async () => {
    const { client, mux, toMux, daemon, sockets } = await open();
    client.send(text("last words", true));
    await until(() => toMux().length > 0, "data");
    lose(client);
    expect(await within(mux.ended, "the end")).toBe("fin");
    expect(await receive([toMux()], { masked: true })).toEqual([
      { kind: "message", data: "last words" },
      { kind: "close", data: "1001" },
    ]);
    mux.halfClose();
    await daemon.logged((line) => line["by"] === "client" && line["how"] === how, "the outcome");
    await until(() => daemon.sockets() <= sockets - 2, "sockets gone");
  });

  test("the client, inside a frame: the mux gets the half frame and an end", async () => {
    const { client, mux, toMux } = await open();
    const half = text("never to be finished", true).subarray(0, 12);
    client.send(half);
    await until(() => toMux().length === half.length, "half a frame");
    lose(client);
    await within(mux.ended, "the end");
    expect(toMux()).toEqual(half);
  });

  test("a side that is lost behind its own Close: nothing of ours follows that", async () => {
    const { client, mux, toClient } = await open();
    mux.send(close(1000, false));
    await until(() => toClient().length > 0, "the Close");
    lose(mux);
    await within(client.ended, "the end");
    expect(toClient()).toEqual(close(1000, false));
  });

  test("a mux that is lost where it should have answered the client's Close: no answer is made up", async () => {
    const { client, mux, toClient, toMux } = await open();
    client.send(close(1000, true));
    await until(() => toMux().length > 0, "the Close");
    lose(mux);
    await within(client.ended, "the end");
    expect(toClient()).toHaveLength(0);
  });
});

test("a client told of a lost mux has a second to answer, then its socket is gone, whatever it does", async () => {
  const { client, mux, daemon, sockets } = await open();
  client.stall();
  mux.reset();
  await until(() => daemon.sockets() <= sockets - 2, "sockets gone", 3000);
});

test("a FIN passes behind the bytes before it, and the other direction goes on for 5 s", async () => {
  const { client, mux, toClient, toMux } = await open();
  client.send(text("asked", true));
  const started = performance.now();
  client.halfClose();
  await within(mux.ended, "FIN at the mux");
  expect((await receive([toMux()], { masked: true }))[0]).toEqual({ kind: "message", data: "asked" });
  let sent = 0;
  const stop = every(50, () => {
    mux.send(text(`answer ${sent}`, false));
    sent += 1;
  });
  await within(client.ended, "the end", 8000);
  stop();
  const lasted = performance.now() - started;
  expect(lasted).toBeGreaterThan(4900);
  expect(lasted).toBeLessThan(7500);
  const answers = await receive([toClient()], { masked: false });
  expect(answers.length).toBeGreaterThan(10);
  for (const [n, { data }] of answers.entries()) expect(data).toBe(`answer ${n}`);
});

test("a FIN that is answered by one ends the tunnel at once, with everything delivered", async () => {
  const { client, mux, toClient, daemon, sockets } = await open();
  client.halfClose();
  await within(mux.ended, "FIN at the mux");
  mux.send(text("answer", false));
  mux.halfClose();
  await within(client.ended, "FIN at the client", 2000);
  expect(toClient().subarray(0, 8)).toEqual(text("answer", false));
  await until(() => daemon.sockets() <= sockets - 2, "sockets gone");
});

describe("a closing handshake is left alone", () => {
  test("begun by the client", async () => {
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`]);
    const client = await openWs(daemon);
    const seen = new Promise((resolve) =>
      mux.clients[0]?.once("close", (code, reason) => resolve([code, String(reason)])),
    );
    client.close(4000, "bye");
    expect(await closed(client)).toBe(4000);
    expect(await within(seen, "close at the mux")).toEqual([4000, "bye"]);
    await daemon.logged(({ how }) => how === "done", "the outcome");
  });

  test("begun by the mux", async () => {
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`]);
    const client = await openWs(daemon);
    const seen = new Promise((resolve) => client.once("close", (code, reason) => resolve([code, String(reason)])));
    const [end] = mux.clients;
    end?.close(4001, "enough");
    expect(await within(seen, "close at the client")).toEqual([4001, "enough"]);
    await daemon.logged(({ how }) => how === "done", "the outcome");
  });

  test("by the byte: not one of ours", async () => {
    const { client, mux, toClient, toMux } = await open("--ping-interval", "50ms");
    client.socket.on("data", () => {});
    const farewell = close(4002, true);
    client.send(farewell);
    await until(() => toMux().subarray(-farewell.length).equals(farewell), "the Close");
    const before = toClient().length;
    const reply = close(4002, false);
    mux.send(reply);
    mux.halfClose();
    await within(client.ended, "FIN at the client");
    client.halfClose();
    await within(mux.ended, "FIN at the mux");
    expect(toClient().subarray(before)).toEqual(reply);
    expect(toMux().subarray(-farewell.length)).toEqual(farewell);
  });
});

test("a client that resets an idle tunnel or an event stream has left; one whose bytes are on their way was lost", async () => {
  const upstream = await rawUpstream();
  const targets = ["--http", String(upstream.port), "--mux", `${upstream.port}/mux`];
  const daemon = await startDaemon([...targets, "--admin", "127.0.0.1:0"]);
  const idle = await openRaw(daemon, upstream, "/mux?idle");
  const inFrame = await openRaw(daemon, upstream, "/ao-terminal-mux");
  inFrame.client.send(text("never to be finished", true).subarray(0, 12));
  await until(() => inFrame.toMux().length > 0, "half a frame");
  const answered = async (path: string, type: string): Promise<RawClient> => {
    const client = await dial(daemon.port);
    client.send(head(`GET ${path} HTTP/1.1`, "Host: a"));
    const server = await upstream.next();
    await server.readUntil("\r\n\r\n");
    server.send(head("HTTP/1.1 200 OK", `Content-Type: ${type}`, "Content-Length: 99") + "data: 1\n\n");
    await client.readUntil("data: 1");
    return client;
  };
  const clients = [idle.client, inFrame.client, await answered("/events", "text/event-stream")];
  clients.push(await answered("/file", "text/plain"));
  for (const client of clients) client.reset();
  await until(() => daemon.log.filter(({ how }) => how === "rst").length === 4, "four outcomes");
  const { endedBadly } = JSON.parse(await askAdmin(daemon, "/status")) as Report;
  expect(endedBadly.map(({ path }) => path).toSorted()).toEqual(["/ao-terminal-mux", "/file"]);
});
