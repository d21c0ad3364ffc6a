import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { rawUpstream } from "../kit/upstream.ts";

test("with --probe-interval 0 an upstream is connected to for requests only", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", String(upstream.port), "--probe-interval", "0"]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  // A probe at the start would have been accepted before.
  const first = await upstream.next();
  await first.readUntil("GET / HTTP/1.1");
  expect(upstream.accepted).toHaveLength(1);
});
