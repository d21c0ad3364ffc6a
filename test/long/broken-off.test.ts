// Clients that break off in the middle of a head, outside of any exchange: answered once, logged once.

import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const ended = (daemon: TestDaemon): unknown[] =>
  daemon.log
    .filter(({ msg }) => msg === "request ended")
    .map(({ by, how, phase, status }) => ({ by, how, phase, status }));

test("a head that breaks off is logged with how it broke off; a connection that sent nothing is not", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", String(upstream.port)]);
  const idle = await daemon.settledSockets();
  for (const sent of ["", "GET / HTTP/1.1\r\nHost"]) {
    for (const leave of ["halfClose", "reset"] as const) {
      const client = await dial(daemon.port);
      client.send(sent);
      await until(() => daemon.sockets() > idle, "accepted");
      // To node a RST right behind bytes that were not read yet is a FIN.
      await until(() => daemon.unread(client.socket.localPort ?? 0) === 0, "read");
      client[leave]();
      await until(() => daemon.sockets() === idle, "closed");
    }
  }
  const line = { by: "client", phase: "head" };
  await until(() => ended(daemon).length >= 2, "two lines");
  expect(ended(daemon)).toEqual([
    { ...line, how: "fin", status: 400 },
    { ...line, how: "rst", status: 0 },
  ]);
});

test("the rest of a body whose request was answered already gets no second answer", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", String(upstream.port)]);
  const client = await dial(daemon.port);
  client.send(`${head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")}4\r\nhalf\r\n`);
  const peer = await upstream.next();
  await peer.readUntil("half");
  peer.reset();
  await client.readUntil("}\n");
  client.send("not a chunk\r\n");
  await within(client.ended, "end of the connection");
  expect(client.received().match(/HTTP\/1\.1 \d{3}/g)).toEqual(["HTTP/1.1 502"]);
  await until(() => ended(daemon).length > 0, "a line");
  expect(ended(daemon)).toEqual([{ by: "upstream", how: "rst", phase: "request_body", status: 502 }]);
});
