// A mux that is killed sends FIN, like one that closes; only the Close before it tells them apart.

import { expect, test } from "vitest";
import { childServer } from "../kit/child.ts";
import { startDaemon, type LogLine } from "../kit/daemon.ts";
import { closed, openRaw, openWs } from "../kit/tunnel.ts";
import { until } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

const INFO = 30;
const isTunnel = ({ msg }: LogLine): boolean => msg === "tunnel ended";

test("kill -9 of a mux with a hundred tunnels: they ended badly, in a few lines and a count", async () => {
  const mux = await childServer();
  const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, "--log-level", "debug"]);
  const sockets = await Promise.all(Array.from({ length: 100 }, () => openWs(daemon)));
  const codes = sockets.map((socket) => closed(socket));
  await mux.kill("SIGKILL");
  expect(new Set(await Promise.all(codes))).toEqual(new Set([1012]));
  // A second is its bound; nothing else may have been said of them by then.
  const left = await daemon.logged(({ kind, dropped }) => kind === "upstream fin" && dropped !== undefined, "a count");
  const lines = daemon.log.filter(isTunnel);
  expect(lines.length + Number(left["dropped"])).toBe(100);
  expect(lines.length).toBeLessThanOrEqual(20);
  for (const { by, how, level } of lines)
    expect({ by, how, level }).toEqual({ by: "upstream", how: "fin", level: INFO });
});

test("kill -9 of a client is no bad end: people close their laptops", async () => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`]);
  const { client, mux } = await openRaw(daemon, upstream);
  client.socket.destroy();
  mux.socket.once("end", () => mux.halfClose());
  const line = await daemon.logged(isTunnel, "the tunnel");
  expect(line).toMatchObject({ by: "client", how: "fin" });
});

test("a mux that says Close before its FIN ended well", async () => {
  const upstream = await childServer();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`]);
  const socket = await openWs(daemon);
  socket.close(1000);
  await closed(socket);
  expect(await daemon.logged(isTunnel, "the tunnel")).toMatchObject({ how: "done" });
  await until(() => daemon.log.filter(isTunnel).length === 1, "one line");
});
