// The handshake of a tunnel, and the bytes around it.

import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { askAdmin } from "../kit/admin.ts";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { endOf, nextResponse, requestHead } from "../kit/messages.ts";
import { openWs, SWITCHING } from "../kit/tunnel.ts";
import { muxUpstream, rawUpstream, type RawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

async function start(...more: string[]): Promise<{ upstream: RawUpstream; daemon: TestDaemon }> {
  const upstream = await rawUpstream();
  return { upstream, daemon: await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, ...more]) };
}

const noise = (length: number): string =>
  Array.from({ length: Math.ceil(length / 64) }, (_, i) =>
    createHash("sha512").update(String(i)).digest("hex").slice(64),
  )
    .join("")
    .slice(0, length);

describe("early bytes arrive once, and in order", () => {
  test.each([10, 70_000, 500_000])("%i of the client, sent with the upgrade and before its answer", async (size) => {
    const { upstream, daemon } = await start();
    const bytes = noise(size);
    const client = await dial(daemon.port);
    client.send(upgrade() + bytes.slice(0, size / 2));
    const mux = await upstream.next();
    await mux.readUntil("\r\n\r\n");
    client.send(bytes.slice(size / 2));
    mux.send(SWITCHING);
    await client.readUntil("\r\n\r\n");
    client.send("and the rest");
    const all = await mux.readUntil("and the rest");
    expect(all.slice(all.indexOf("\r\n\r\n") + 4) === `${bytes}and the rest`).toBe(true);
  });

  test.each([10, 500_000])("%i of the mux, sent with the 101", async (size) => {
    const { upstream, daemon } = await start();
    const bytes = noise(size);
    const client = await dial(daemon.port);
    client.send(upgrade());
    const mux = await upstream.next();
    await mux.readUntil("\r\n\r\n");
    mux.send(SWITCHING + bytes);
    mux.send("and the rest");
    const all = await client.readUntil("and the rest");
    expect(all.slice(all.indexOf("\r\n\r\n") + 4) === `${bytes}and the rest`).toBe(true);
  });

  test("of both at once, and each FIN behind them", async () => {
    const { upstream, daemon } = await start();
    const client = await dial(daemon.port);
    client.send(`${upgrade()}from the client`);
    const mux = await upstream.next();
    await mux.readUntil("\r\n\r\n");
    mux.send(`${SWITCHING}from the mux`);
    mux.halfClose();
    await endOf(client);
    client.halfClose();
    await endOf(mux);
    expect(client.received()).toMatch(/\r\n\r\nfrom the mux$/);
    expect(mux.received()).toMatch(/\r\n\r\nfrom the client$/);
  });
});

test("nothing a client sends early reaches a mux that refuses, and it is no request either", async () => {
  const { upstream, daemon } = await start();
  const client = await dial(daemon.port);
  client.send(upgrade() + head("GET /admin HTTP/1.1", "Host: localhost"));
  const mux = await upstream.next();
  await mux.readUntil("\r\n\r\n");
  client.send(head("GET /admin2 HTTP/1.1", "Host: localhost"));
  mux.send(head("HTTP/1.1 403 Forbidden", "Content-Length: 2") + "no");
  const answer = await nextResponse(client);
  expect([answer.status, answer.body]).toEqual([403, "no"]);
  expect(await endOf(client)).toBe("fin");
  await endOf(mux);
  expect(mux.received()).not.toContain("admin");
  expect(client.received()).toBe(answer.raw);
  expect(upstream.accepted).toHaveLength(1);
});

describe("any other answer than 101 is the client's answer, then the connection closes", () => {
  const fields = ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-Reason: none"];
  test.each([
    ["with a length", ["Content-Length: 9"], "not today"],
    ["chunked", ["Transfer-Encoding: chunked"], "4\r\nnot \r\n5\r\ntoday\r\n0\r\n\r\n"],
    ["delimited by its end", ["Connection: close"], "not today"],
  ])("%s", async (kind, framing, body) => {
    const { upstream, daemon } = await start();
    const client = await dial(daemon.port);
    client.send(upgrade());
    const mux = await upstream.next();
    await mux.readUntil("\r\n\r\n");
    mux.send(head("HTTP/1.1 401 Who Are You", ...fields, ...framing) + body);
    if (kind === "delimited by its end") mux.halfClose();
    const answer = await nextResponse(client);
    expect([answer.status, answer.reason, answer.body]).toEqual([401, "Who Are You", "not today"]);
    expect(answer.all("set-cookie")).toEqual(["a=1", "b=2"]);
    expect([answer.field("x-reason"), answer.field("connection")]).toEqual(["none", "close"]);
    expect(await endOf(client)).toBe("fin");
    expect(client.received()).toBe(answer.raw);
  });

  test("a mux that closes without an answer: 502, and one that says nothing: 504", async () => {
    const { upstream, daemon } = await start("--handshake-timeout", "200ms");
    const first = await dial(daemon.port);
    first.send(upgrade());
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const mux = await upstream.next();
      await mux.readUntil("\r\n\r\n");
      mux.reset();
    }
    expect((await nextResponse(first)).status).toBe(502);
    expect(await endOf(first)).toBe("fin");
    const second = await dial(daemon.port);
    second.send(upgrade());
    expect((await nextResponse(second)).status).toBe(504);
    expect(await endOf(second)).toBe("fin");
  });
});

test("the 101 keeps all its fields, and its reason", async () => {
  const { upstream, daemon } = await start();
  const client = await dial(daemon.port);
  client.send(upgrade("/mux", "Sec-WebSocket-Protocol: tty, chat", "Cookie: a=1; b=2"));
  const mux = await upstream.next();
  const asked = await requestHead(mux);
  expect(asked.fields).toContainEqual(["Sec-WebSocket-Protocol", "tty, chat"]);
  expect(asked.fields).toContainEqual(["Cookie", "a=1; b=2"]);
  mux.send(
    SWITCHING.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: tty\r\nSet-Cookie: c=3\r\nSet-Cookie: d=4\r\n\r\n"),
  );
  const answer = await nextResponse(client);
  expect([answer.status, answer.field("upgrade"), answer.field("connection")]).toEqual([101, "websocket", "Upgrade"]);
  expect(answer.field("sec-websocket-accept")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  expect([answer.field("sec-websocket-protocol"), answer.all("set-cookie")]).toEqual(["tty", ["c=3", "d=4"]]);
});

test("subprotocol and permessage-deflate are agreed on by the two ends", async () => {
  const mux = await muxUpstream({ deflate: true });
  mux.server.options.handleProtocols = (protocols) => (protocols.has("tty.v2") ? "tty.v2" : false);
  const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`]);
  const client = await openWs(daemon, "/mux", {}, ["tty.v1", "tty.v2"]);
  expect([client.protocol, client.extensions]).toEqual(["tty.v2", "permessage-deflate"]);
  const echoed = new Promise((resolve) => client.once("message", (data: Buffer) => resolve(data.toString())));
  client.send("a".repeat(100_000));
  expect(await within(echoed, "echo")).toBe("a".repeat(100_000));
});

test("where an upgrade goes: by its path, byte for byte; the query goes along", async () => {
  const asked: string[] = [];
  const ports: Record<string, number> = {};
  for (const name of ["http", "mux", "term"]) {
    const note = async (peer: RawClient): Promise<void> => {
      asked.push(`${name} ${(await requestHead(peer)).line}`);
      peer.send(SWITCHING);
    };
    ports[name] = (await rawUpstream((peer) => void note(peer))).port;
  }
  const muxes = ["--mux", `${ports["mux"]}/mux`, "--mux", `/term=${ports["term"]}/pty`];
  const daemon = await startDaemon(["--http", `${ports["http"]}`, ...muxes]);
  const ways: [string, string][] = [
    ["/ao-terminal-mux", "mux GET /mux HTTP/1.1"],
    ["/ao-terminal-mux?session=%41&x=//..", "mux GET /mux?session=%41&x=//.. HTTP/1.1"],
    ["/mux?", "mux GET /mux? HTTP/1.1"],
    ["/term?a=1", "term GET /pty?a=1 HTTP/1.1"],
    // No mux path: the HMR socket of the web server, as it was sent.
    ["/_next/webpack-hmr?id=%7e&b=a%20b", "http GET /_next/webpack-hmr?id=%7e&b=a%20b HTTP/1.1"],
    ["/mux/", "http GET /mux/ HTTP/1.1"],
    ["//mux", "http GET //mux HTTP/1.1"],
    ["/a/../mux", "http GET /a/../mux HTTP/1.1"],
    ["/%6dux", "http GET /%6dux HTTP/1.1"],
    ["/pty", "http GET /pty HTTP/1.1"],
  ];
  for (const [path] of ways) {
    const client = await dial(daemon.port);
    client.send(upgrade(path));
    expect((await nextResponse(client)).status).toBe(101);
  }
  expect(asked).toEqual(ways.map(([, expected]) => expected));
});

test("a mux that is away: the handshake waits for it", async () => {
  const gone = await rawUpstream();
  await gone.kill();
  const daemon = await startDaemon(["--http", "1", "--mux", `${gone.port}/mux`, "--admin", "127.0.0.1:0"]);
  const client = await dial(daemon.port);
  client.send(`${upgrade()}typed while it was away`);
  await until(async () => /"name":"mux"[^}]*"held":1/.test(await askAdmin(daemon, "/status")), "it to be held");
  const back = await rawUpstream(undefined, gone.port);
  const mux = await back.next(4000);
  await mux.readUntil("\r\n\r\n");
  expect(mux.received()).not.toContain("typed");
  mux.send(SWITCHING);
  await mux.readUntil("typed while it was away");
  await until(() => client.received().startsWith("HTTP/1.1 101"), "101");
});

test("a mux that stops in the middle of a long refusal: it is the one who is late, not the client", async () => {
  const { upstream, daemon } = await start("--body-timeout", "300ms");
  const client = await dial(daemon.port);
  client.send(upgrade());
  const mux = await upstream.next();
  await mux.readUntil("\r\n\r\n");
  mux.send(head("HTTP/1.1 403 Forbidden", "Content-Length: 600000"));
  mux.send(Buffer.alloc(500_000, "x"));
  expect(await endOf(client)).toBe("fin");
  expect(client.received().length).toBeGreaterThan(500_000);
  const outcome = await daemon.logged(({ status }) => status === 403, "its end");
  expect(outcome).toMatchObject({ by: "upstream", how: "timeout", phase: "response_body" });
});
