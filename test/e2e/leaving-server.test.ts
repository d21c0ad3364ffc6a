// A web server that is going: it listens no more, and answers what it has begun on connections that it keeps open.
// Ctrl-C does that to node's servers, which then live for as long as somebody goes on asking on such a connection.

import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { endOf, nextResponse } from "../kit/messages.ts";
import { controlSocket, ownRuntime, statusOf } from "../kit/ops.ts";
import { until } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

const OK = head("HTTP/1.1 200 OK", "Keep-Alive: timeout=60", "Content-Length: 3") + "old";
const NEW = head("HTTP/1.1 200 OK", "Content-Length: 3") + "new";
const states = (daemon: TestDaemon): unknown[] =>
  daemon.log.flatMap(({ state }) => (state === undefined ? [] : [state]));

async function asks(daemon: TestDaemon, path: string): Promise<RawClient> {
  const client = await dial(daemon.port);
  client.send(head(`GET ${path} HTTP/1.1`, "Host: a"));
  return client;
}

test.each([
  ["a request", "0"],
  ["a probe", "200ms"],
])("once %s was refused, it is asked nothing more, and what it still answers does not make it up", async (_, every) => {
  const probes = every !== "0";
  const env = ownRuntime();
  const old = await rawUpstream();
  const daemon = await startDaemon(["--http", String(old.port), "--hold", "20s", "--probe-interval", every], env);
  /** The connection on which it got a request; a probe's gets none. */
  const got = (path: string): Promise<RawClient> =>
    until(() => old.accepted.find((one) => one.received().includes(path)), path);
  const first = await asks(daemon, "/slow");
  const peer = await got("/slow");
  const idle = probes ? await asks(daemon, "/quick") : undefined;
  if (idle) (await got("/quick")).send(OK);
  if (idle) expect((await nextResponse(idle)).body).toBe("old");

  old.server.close();
  const late = probes ? undefined : await asks(daemon, "/held");
  await daemon.logged(({ state }) => state === "suspect", "the suspicion");
  if (idle) expect(await endOf(await got("/quick"))).toBe("fin");
  const held = late ?? (await asks(daemon, "/held"));
  peer.send(OK);
  expect((await nextResponse(first)).body).toBe("old");
  expect(await endOf(peer)).toBe("fin");
  first.send(head("GET /next HTTP/1.1", "Host: a"));

  await daemon.logged(({ state }) => state === "reconnecting", "the loss");
  const control = controlSocket(env, daemon.port);
  await until(() => existsSync(control), "the control socket");
  const [link] = (await statusOf(control)).links;
  expect([link?.reconnectCount, link?.connectedSince]).toEqual([0, undefined]);
  await rawUpstream((fresh) => fresh.socket.on("data", () => fresh.send(NEW)), old.port);
  for (const client of [held, first]) expect((await nextResponse(client, "GET", 10_000)).body).toBe("new");
  await until(() => states(daemon).length === 4, "its return");
  expect(states(daemon)).toEqual(["up", "suspect", "reconnecting", "up"]);
});

test("nor does a tunnel that it still opens", async () => {
  const old = await rawUpstream();
  const daemon = await startDaemon(["--http", String(old.port), "--hold", "20s"]);
  const client = await dial(daemon.port);
  client.send(upgrade("/hmr"));
  const peer = await old.next();
  await peer.readUntil("\r\n\r\n");
  old.server.close();
  await asks(daemon, "/held");
  await daemon.logged(({ state }) => state === "suspect", "the suspicion");
  peer.send(head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"));
  await client.readUntil("101");
  await daemon.logged(({ state }) => state === "reconnecting", "the loss");
  expect(states(daemon)).toEqual(["up", "suspect", "reconnecting"]);
});
