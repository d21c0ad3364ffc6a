import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { endOf, nextResponse } from "../kit/messages.ts";
import { every, until } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

const GET = head("GET / HTTP/1.1", "Host: a");

test("a head that comes byte by byte is over after --headers-timeout: 408", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--headers-timeout", "300ms"]);
  const client = await dial(daemon.port);
  const stop = every(50, () => client.send("x"));
  client.send("GET / HTTP/1.1\r\nX-Slow: ");
  expect((await nextResponse(client)).status).toBe(408);
  expect(await endOf(client)).toBe("fin");
  stop();
  expect(up.accepted).toHaveLength(0);
});

test("a body that comes byte by byte is over after --request-timeout: 408, and the upstream's connection ends", async () => {
  const up = await rawUpstream();
  const args = ["--headers-timeout", "300ms", "--request-timeout", "500ms", "--body-timeout", "400ms"];
  const daemon = await startDaemon(["--http", String(up.port), ...args]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", "Content-Length: 1000"));
  const stop = every(50, () => client.send("x"));
  expect((await nextResponse(client, "POST")).status).toBe(408);
  stop();
  await endOf(up.accepted[0]!);
});

test("a --request-timeout below --headers-timeout limits the head, too", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--request-timeout", "300ms"]);
  const client = await dial(daemon.port);
  client.send("GET / HTTP/1.1\r\n");
  expect((await nextResponse(client)).status).toBe(408);
});

test("--request-timeout 0 lets a slow body take its time, as long as it moves", async () => {
  const up = await rawUpstream();
  const args = ["--headers-timeout", "100ms", "--request-timeout", "0", "--body-timeout", "400ms"];
  const daemon = await startDaemon(["--http", String(up.port), ...args]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", "Content-Length: 20"));
  let sent = 0;
  const stop = every(50, () => {
    if (sent++ < 20) client.send("x");
  });
  const peer = await up.next();
  await peer.readUntil("x".repeat(20), 5000);
  stop();
  peer.send(head("HTTP/1.1 200 OK", "Content-Length: 0"));
  expect((await nextResponse(client, "POST")).status).toBe(200);
});

test("a body that stands still is over after --body-timeout: 408", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--body-timeout", "200ms"]);
  const client = await dial(daemon.port);
  client.send(`${head("POST / HTTP/1.1", "Host: a", "Content-Length: 100")}some`);
  expect((await nextResponse(client, "POST")).status).toBe(408);
  await endOf(up.accepted[0]!);
  await endOf(client);
});

test("an upstream that takes no more of a body is over after --body-timeout: 504", async () => {
  const up = await rawUpstream((peer) => peer.stall());
  const daemon = await startDaemon(["--http", String(up.port), "--body-timeout", "300ms"]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", `Content-Length: ${64 * 1024 * 1024}`));
  client.socket.write(Buffer.alloc(64 * 1024 * 1024));
  expect((await nextResponse(client, "POST")).status).toBe(504);
});

test("an upload may take longer than --response-timeout; the limit starts when it is complete", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--response-timeout", "200ms"]);
  const client = await dial(daemon.port);
  client.send(head("POST / HTTP/1.1", "Host: a", "Content-Length: 10"));
  let sent = 0;
  const stop = every(50, () => {
    if (sent++ < 10) client.send("x");
  });
  await (await up.next()).readUntil("x".repeat(10), 5000);
  stop();
  expect(client.received()).toBe("");
  expect((await nextResponse(client, "POST")).status).toBe(504);
});

test("a head that the upstream does not finish is over after --response-timeout: 504", async () => {
  const up = await rawUpstream((peer) => peer.socket.once("data", () => peer.send("HTTP/1.1 200 OK\r\nX-Un")));
  const daemon = await startDaemon(["--http", String(up.port), "--response-timeout", "200ms"]);
  const client = await dial(daemon.port);
  client.send(GET);
  expect((await nextResponse(client)).status).toBe(504);
});

test("each byte of a slow response begins the limit anew; when none comes any more the client is cut off", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--body-timeout", "400ms"]);
  const client = await dial(daemon.port);
  client.send(GET);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(head("HTTP/1.1 200 OK", "Content-Length: 100"));
  let sent = 0;
  const stop = every(100, () => {
    if (sent++ < 12) peer.send("d");
  });
  // Three times the limit goes by, and nothing is cut.
  await client.readUntil("d".repeat(12), 5000);
  expect(await endOf(client)).toBe("fin");
  stop();
  expect(client.received()).toMatch(/d{12}$/);
  const line = await daemon.logged(({ status }) => status === 200, "the exchange");
  expect(line).toMatchObject({ by: "upstream", how: "timeout", phase: "response_body" });
});

test("a client that takes no byte of a response is cut off after --body-timeout, and the upstream freed", async () => {
  const up = await rawUpstream((peer) => {
    peer.socket.once("data", () => {
      peer.send(head("HTTP/1.1 200 OK", `Content-Length: ${64 * 1024 * 1024}`));
      peer.socket.write(Buffer.alloc(64 * 1024 * 1024));
    });
  });
  const daemon = await startDaemon(["--http", String(up.port), "--body-timeout", "300ms"]);
  const client = await dial(daemon.port);
  client.stall();
  client.send(GET);
  const line = await daemon.logged(({ status }) => status === 200, "the exchange", 5000);
  expect(line).toMatchObject({ by: "client", how: "timeout" });
  await endOf(up.accepted[0]!);
});

test("an idle client connection is closed after --client-keep-alive, one in use is not", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port), "--client-keep-alive", "300ms"]);
  const idle = await dial(daemon.port);
  const busy = await dial(daemon.port);
  idle.send(GET);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(head("HTTP/1.1 204 No Content"));
  expect((await nextResponse(idle)).status).toBe(204);
  busy.send(head("GET /busy HTTP/1.1", "Host: a"));
  await peer.readUntil("/busy");
  expect(await endOf(idle)).toBe("fin");
  peer.send(head("HTTP/1.1 200 OK", "Content-Length: 0"));
  expect((await nextResponse(busy)).status).toBe(200);
});

test("no limit of requests touches an event stream or a tunnel", async () => {
  const up = await rawUpstream((peer) => {
    peer.socket.once("data", () => {
      if (peer.received().includes("/mux"))
        peer.send(head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"));
      else if (peer.received().includes("/events"))
        peer.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream"));
      else peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 100")}some`);
    });
  });
  const short = ["headers", "request", "response", "body", "handshake"].flatMap((name) => [
    `--${name}-timeout`,
    "150ms",
  ]);
  const args = [
    "--http",
    String(up.port),
    "--mux",
    `${up.port}/mux`,
    "--client-keep-alive",
    "150ms",
    "--ping-interval",
    "0",
  ];
  const daemon = await startDaemon([...args, ...short]);
  const events = await dial(daemon.port);
  events.send(head("GET /events HTTP/1.1", "Host: a"));
  await events.readUntil("event-stream");
  const tunnel = await dial(daemon.port);
  tunnel.send(upgrade("/mux"));
  await tunnel.readUntil("101 Switching");
  // Five downloads, one after another, are cut by the same limits: so long have the two been silent.
  for (let i = 0; i < 5; i += 1) {
    const download = await dial(daemon.port);
    download.send(head("GET /download HTTP/1.1", "Host: a"));
    expect(await endOf(download)).toBe("fin");
  }
  const at = (path: string) => until(() => up.accepted.find((peer) => peer.received().includes(path)), path);
  (await at("/events")).send("data: still here\n\n");
  await events.readUntil("data: still here\n\n");
  (await at("/mux")).send("\x82\x02hi");
  await tunnel.readUntil("\x82\x02hi");
});

test("an event stream whose client takes no byte is not for ever", async () => {
  const up = await rawUpstream((peer) => {
    peer.socket.once("data", () => {
      peer.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream"));
      peer.socket.write(Buffer.alloc(64 * 1024 * 1024));
    });
  });
  const daemon = await startDaemon(["--http", String(up.port), "--body-timeout", "300ms"]);
  const client = await dial(daemon.port);
  client.stall();
  client.send(GET);
  const line = await daemon.logged(({ status }) => status === 200, "the exchange", 5000);
  expect(line).toMatchObject({ by: "client", how: "timeout" });
});
