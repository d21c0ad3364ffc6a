// Situations in which a naive proxy leaves one side waiting for ever, or goes on working for a client that has left.

import { expect, test } from "vitest";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { expectUnharmed, recorded, statuses } from "../kit/recording.ts";
import { until, within } from "../kit/until.ts";

const CHUNKED = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked");
const SWITCHING = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket");
/** Requests that the test answers itself. */
const byHand = ({ target }: { target: string }): string | undefined => (/^\/(x|mux)/.test(target) ? "" : undefined);

const FRAMINGS: [name: string, start: string, got: RegExp][] = [
  ["a length", `${head("HTTP/1.1 200 OK", "Content-Length: 9")}part`, /\r\n\r\npart$/],
  ["chunks", `${CHUNKED}4\r\npart\r\n`, /\r\n\r\n4\r\npart\r\n$/],
  ["a half chunk", `${CHUNKED}9\r\npart`, /\r\n\r\n4\r\npart\r\n$/],
  [
    "an event stream",
    `${head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked")}8\r\ndata: 1\n\r\n`,
    /\r\n\r\n8\r\ndata: 1\n\r\n$/,
  ],
];
const ENDS: [end: string, act: (peer: RawClient) => void][] = [
  ["FIN", (peer) => peer.halfClose()],
  ["RST", (peer) => peer.reset()],
];

test.each(FRAMINGS.flatMap((framing) => ENDS.map(([end, act]) => ({ framing, end, act }))))(
  "$end in the middle of a body framed by $framing.0 cuts the client, and nothing is appended",
  async ({ framing: [, start, got], act }) => {
    const { daemon, upstream } = await recorded(byHand);
    const client = await dial(daemon.port);
    client.send(head("GET /x HTTP/1.1", "Host: a"));
    const peer = await upstream.asked("/x");
    peer.send(start);
    await client.readUntil(got);
    act(peer);
    await within(client.ended, "the client's connection to be cut");
    expect(client.received()).toMatch(got);
    expect(statuses(client.received())).toEqual([200]);
    await within(peer.ended, "the upstream's connection to be closed");
    await expectUnharmed(daemon);
  },
);

test.each(ENDS)("%s in the middle of chunks resets a client of HTTP/1.0, whom a FIN would deceive", async (_, act) => {
  const { daemon, upstream } = await recorded(byHand);
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.0", "Host: a"));
  const peer = await upstream.asked("/x");
  peer.send(`${CHUNKED}4\r\npart\r\n`);
  await client.readUntil(/\r\n\r\npart$/);
  act(peer);
  expect(await within(client.ended, "the client's connection to be cut")).toBe("rst");
  expect(client.received()).toMatch(/\r\n\r\npart$/);
  await expectUnharmed(daemon);
});

test("a body that ends with the upstream's connection is complete when a FIN ends it, and cut when a RST does", async () => {
  const { daemon, upstream } = await recorded(byHand);
  for (const [end, act] of ENDS) {
    const client = await dial(daemon.port);
    client.send(head(`GET /x${end} HTTP/1.1`, "Host: a"));
    const peer = await upstream.asked(`/x${end}`);
    peer.send(`${head("HTTP/1.1 200 OK")}whole`);
    await client.readUntil("5\r\nwhole\r\n");
    act(peer);
    if (end === "FIN") await client.readUntil(/whole\r\n0\r\n\r\n$/);
    else await within(client.ended, "the client's connection to be cut");
    expect(client.received().endsWith("5\r\nwhole\r\n")).toBe(end === "RST");
  }
  await expectUnharmed(daemon);
});

test.each([
  ["cow", head("HTTP/1.1 200 OK", "Transfer-Encoding: cow")],
  ["chunked, chunked", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked, chunked")],
  ["gzip, chunked", head("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked")],
  ["chunked, gzip", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked, gzip")],
  ["no coding at all", head("HTTP/1.1 200 OK", "Transfer-Encoding:")],
  ["chunked twice", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")],
  ["chunked and a length", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Length: 5")],
  ["two lengths", head("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6")],
])("an answer framed by %s is a 502", async (_, answer) => {
  const { daemon } = await recorded(({ target }) => (target === "/x" ? `${answer}5\r\nhello\r\n0\r\n\r\n` : undefined));
  const client = await dial(daemon.port);
  for (const method of ["GET", "HEAD"]) client.send(head(`${method} /x HTTP/1.1`, "Host: a"));
  client.send(head("GET /last HTTP/1.1", "Host: a", "Connection: close"));
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([502, 502, 200]);
  expect(client.received()).not.toContain("hello");
  await expectUnharmed(daemon);
});

test("a 101 to a plain request, or to another protocol than the one asked for, is a 502", async () => {
  const { daemon, upstream } = await recorded(({ target }) => {
    if (target === "/x") return `${SWITCHING}tunnel`;
    return target === "/mux" ? `${SWITCHING.replace("websocket", "h2c")}tunnel` : undefined;
  });
  const client = await dial(daemon.port);
  client.send(head("GET /x HTTP/1.1", "Host: a") + head("GET /last HTTP/1.1", "Host: a", "Connection: close"));
  await within(client.ended, "the end");
  expect(statuses(client.received())).toEqual([502, 200]);
  const tunnel = await dial(daemon.port);
  tunnel.send(upgrade("/mux"));
  await within(tunnel.ended, "the end");
  expect(statuses(tunnel.received())).toEqual([502]);
  for (const target of ["/x", "/mux"]) await within((await upstream.asked(target)).ended, "the upstream to be left");
  await expectUnharmed(daemon);
});

const LEAVES: [how: string, act: (client: RawClient) => void][] = [
  ["resets", (client) => client.reset()],
  ["closes", (client) => client.socket.destroy()],
];
const MOMENTS: [when: string, request: string, answer: string, until: string][] = [
  ["before the head", head("GET /x HTTP/1.1", "Host: a"), "", ""],
  ["mid-body", head("GET /x HTTP/1.1", "Host: a"), `${CHUNKED}4\r\npart\r\n`, "part"],
  [
    "of an event stream",
    head("GET /x HTTP/1.1", "Host: a"),
    `${head("HTTP/1.1 200 OK", "Content-Type: text/event-stream")}data: 1\n\n`,
    "data: 1",
  ],
  ["during its upload", `${head("POST /x HTTP/1.1", "Host: a", "Content-Length: 9")}part`, "", ""],
  ["after its upload", `${head("POST /x HTTP/1.1", "Host: a", "Content-Length: 4")}part`, "", ""],
];

test.each(MOMENTS.flatMap((moment) => LEAVES.map(([how, act]) => ({ moment, how, act }))))(
  "a client that $how $moment.0 aborts its request to the upstream at once",
  async ({ moment: [, request, answer, mark], act }) => {
    const { daemon, upstream } = await recorded(byHand);
    await expectUnharmed(daemon);
    const sockets = daemon.sockets();
    const client = await dial(daemon.port);
    client.send(request);
    const peer = await upstream.asked("/x");
    peer.send(answer);
    await client.readUntil(mark);
    act(client);
    await within(peer.ended, "the request to be aborted");
    await until(() => daemon.sockets() <= sockets, "both sockets to be closed");
    await expectUnharmed(daemon);
  },
);

test("a busy tunnel whose client was reset is closed on both sides", async () => {
  const { daemon, upstream } = await recorded(byHand);
  await expectUnharmed(daemon);
  const sockets = daemon.sockets();
  const client = await dial(daemon.port);
  client.send(upgrade("/mux"));
  const peer = await upstream.asked("/mux");
  peer.send(SWITCHING);
  await client.readUntil("\r\n\r\n");
  // A frame of 16 MiB of which the client takes nothing: the tunnel is busy, and stuck.
  client.stall();
  peer.send(Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0]), Buffer.alloc(16 * 1024 * 1024)]));
  await until(() => peer.socket.writableLength > 0, "the upstream to be held back");
  client.reset();
  await within(peer.ended, "the upstream's side to be closed");
  await until(() => daemon.sockets() <= sockets, "both sockets to be closed");
  await expectUnharmed(daemon);
});

test("a hundred clients that leave in the middle leave no socket behind", async () => {
  const { daemon } = await recorded(({ target }) => {
    if (target === "/mux") return SWITCHING;
    return target.startsWith("/x") ? `${CHUNKED}4\r\npart\r\n` : undefined;
  });
  await expectUnharmed(daemon);
  const sockets = daemon.sockets();
  for (let round = 0; round < 10; round += 1) {
    const clients = await Promise.all(Array.from({ length: 10 }, () => dial(daemon.port)));
    for (const [i, client] of clients.entries()) {
      client.send(i % 2 === 0 ? upgrade("/mux") : head("GET /x HTTP/1.1", "Host: a"));
    }
    await Promise.all(clients.map((client, i) => client.readUntil(i % 2 === 0 ? "101 Switching" : "part")));
    for (const client of clients) client.reset();
  }
  await until(() => daemon.sockets() <= sockets, "every socket to be closed", 4000);
  await expectUnharmed(daemon);
});
