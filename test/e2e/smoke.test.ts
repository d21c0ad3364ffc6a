import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { httpUpstream, muxUpstream } from "../kit/upstream.ts";
import { within } from "../kit/until.ts";

test("a request and a tunnel, on one port", async () => {
  const web = await httpUpstream((req, res) => res.end(`you asked for ${req.url}`));
  const mux = await muxUpstream();
  const daemon = await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`]);

  const client = await dial(daemon.port);
  client.send(head("GET /x?y=1 HTTP/1.1", "Host: a"));
  expect(await client.readUntil("you asked for /x?y=1")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);

  const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}/ao-terminal-mux`);
  const echoed = new Promise((resolve) => socket.once("message", (data: Buffer) => resolve(data.toString())));
  socket.once("open", () => socket.send("hello"));
  expect(await within(echoed, "echo")).toBe("hello");
  socket.close();

  expect(await daemon.stop()).toBe(0);
});
