// Our own pauses: what came while this process stood still (SIGSTOP, a starved or suspended machine) came in time. The
// limits of time are shorter here than the pause.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { nextResponse } from "../kit/messages.ts";
import { until, within } from "../kit/until.ts";
import { deadPort, httpUpstream, rawUpstream } from "../kit/upstream.ts";

const LIMIT = "1s";
const PAUSE_MS = 3000;
const LIMITS = ["--client-keep-alive", LIMIT, "--headers-timeout", LIMIT, "--request-timeout", LIMIT];

/** Stops the daemon, lets `act` send what it will, and continues it after the pause. */
async function pause({ pid, child }: TestDaemon, act: () => void): Promise<void> {
  child.kill("SIGSTOP");
  await until(() => / T /.test(readFileSync(`/proc/${pid}/stat`, "utf8")), "the daemon to be stopped");
  const stopped = performance.now();
  act();
  await until(() => performance.now() > stopped + PAUSE_MS, "the pause to be over");
  child.kill("SIGCONT");
}

test("requests on idle connections, heads and bodies that came while we stood still are served", async () => {
  const web = await httpUpstream((req, res) => {
    req.resume().on("end", () => res.end(req.url));
  });
  const daemon = await startDaemon(["--http", String(web.port), ...LIMITS]);
  const clients = await Promise.all(Array.from({ length: 9 }, () => dial(daemon.port)));
  const ask = (n: number): string => `${head(`POST /${n} HTTP/1.1`, "Host: a", "Content-Length: 4")}body`;
  for (const client of clients) client.send(head("GET / HTTP/1.1", "Host: a"));
  for (const client of clients) await nextResponse(client);
  // Nothing, half of a head, half of a body.
  for (const [n, client] of clients.entries()) client.send(ask(n).slice(0, [0, 10, -2][n % 3]));
  await until(() => clients.every(({ socket }) => daemon.unread(socket.localPort ?? 0) === 0), "all to be read");
  await pause(daemon, () => {
    for (const [n, client] of clients.entries()) client.send(ask(n).slice([0, 10, -2][n % 3]));
  });
  for (const [n, client] of clients.entries()) {
    expect(await nextResponse(client, "POST")).toMatchObject({ status: 200, body: `/${n}` });
  }
});

test("a request is held on when its upstream came back while we stood still, though its time is over", async () => {
  const port = await deadPort();
  const daemon = await startDaemon(["--http", String(port), "--hold", LIMIT]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.1", "Host: a"));
  await until(() => daemon.unread(client.socket.localPort ?? 0) === 0, "the request to be read");
  const serve = (peer: RawClient): void => peer.send(head("HTTP/1.1 204 No Content"));
  await pause(daemon, () => void rawUpstream(serve, port));
  expect((await nextResponse(client)).status).toBe(204);
});

test("who sends nothing is late all the same: an idle connection ends, a head gets 408", async () => {
  const web = await httpUpstream((_req, res) => void res.end("ok"));
  const daemon = await startDaemon(["--http", String(web.port), ...LIMITS]);
  const [idle, slow] = [await dial(daemon.port), await dial(daemon.port)];
  idle.send(head("GET / HTTP/1.1", "Host: a"));
  await nextResponse(idle);
  slow.send("GET / HT");
  await until(() => daemon.unread(slow.socket.localPort ?? 0) === 0, "all to be read");
  await pause(daemon, () => {});
  expect(await within(idle.ended, "the end of an idle connection")).toBe("fin");
  expect((await nextResponse(slow)).status).toBe(408);
});
