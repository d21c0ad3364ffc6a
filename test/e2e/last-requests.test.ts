// Requests around a shutdown: each is answered, or not forwarded at all, so that its client may send it again.

import { expect, test, vi } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { endOf, nextResponse } from "../kit/messages.ts";
import { ownRuntime } from "../kit/ops.ts";
import { doer, send } from "../kit/senders.ts";
import { line, shares, version } from "../kit/takeovers.ts";
import { httpUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });

const POST = `${head("POST / HTTP/1.1", "Host: a", "Content-Length: 4")}data`;
/** Clients; the busiest never rest. Sixty of them, for longer: test/long/last-requests.test.ts. */
const BREAKS_MS = Array.from({ length: 20 }, (_, i) => [0, 2, 20, 100][i % 4] ?? 0);

test("clients that go on sending at SIGTERM: each is told by its last answer, and what is lost was not done", async () => {
  const { port: web, done } = await doer();
  const daemon = await startDaemon(["--http", String(web)], ownRuntime());
  const senders = send(daemon.port, done, BREAKS_MS, false);
  await until(() => senders.answered() > 100, "them to be busy");
  daemon.child.kill("SIGTERM");
  expect(await within(daemon.exited, "the end", 8000)).toBe(0);
  const { doneButLost, wrong } = await senders.stop();
  // A client that a loaded machine lets sleep for a second, just that it wakes up at our FIN, may lose one.
  expect({ doneButLost, wrong }).toEqual({ doneButLost: [], wrong: [] });
});

test(`clients that go on sending in a takeover, on ${version}: none is lost`, async () => {
  const { port: web, done } = await doer();
  const { port, next } = await line("--http", String(web));
  const old = await next();
  const senders = send(port, done, BREAKS_MS, true);
  await until(() => senders.answered() > 100, "them to be busy");
  await next();
  expect(await within(old.exited, "the older one to end")).toBe(0);
  const { lost, doneButLost, wrong, refused } = await senders.stop();
  expect({ lost, doneButLost, wrong }).toEqual({ lost: [], doneButLost: [], wrong: [] });
  if (shares) expect(refused).toBe(0);
});

test("a request behind our FIN is not begun, and accounted as ours", async () => {
  let asked = 0;
  const web = await httpUpstream((_req, res) => {
    asked += 1;
    res.end("ok");
  });
  // Nobody is trusted, so the CF-Ray of the late request may be made up.
  const trust = ["--trust-proxy", "192.0.2.1/32"];
  const daemon = await startDaemon(["--http", String(web.port), "--drain", "1s", ...trust], ownRuntime());
  const [plain, upgrade] = [await dial(daemon.port), await dial(daemon.port)];
  for (const one of [plain, upgrade]) {
    one.send(POST);
    await nextResponse(one, "POST");
  }
  daemon.child.kill("SIGTERM");
  expect([await endOf(plain), await endOf(upgrade)]).toEqual(["fin", "fin"]);
  plain.send(POST);
  upgrade.send(head("GET /hmr HTTP/1.1", "Host: a", "CF-Ray: a-FRA", "Connection: Upgrade", "Upgrade: websocket"));
  const late = (method: string) =>
    daemon.logged((one) => one.msg === "request ended" && one["method"] === method && one["status"] === 0, method);
  for (const method of ["POST", "GET"]) {
    const account = await late(method);
    expect(account).toMatchObject({ by: "proxy", how: "drain", client: "127.0.0.1" });
    expect(account).not.toHaveProperty("ray");
  }
  expect(await within(daemon.exited, "the end")).toBe(0);
  expect(asked).toBe(2);
});

test("what lay in the kernel before SIGTERM is read first: on new connections and on old ones", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const daemon = await startDaemon(["--http", String(web.port)], ownRuntime());
  const clients = await Promise.all(Array.from({ length: 16 }, () => dial(daemon.port)));
  for (const one of clients) one.send(POST);
  for (const one of clients) await nextResponse(one, "POST");
  daemon.child.kill("SIGSTOP");
  clients.push(...(await Promise.all(Array.from({ length: 16 }, () => dial(daemon.port)))));
  for (const one of clients) one.send(POST);
  const arrived = (): boolean => clients.every(({ socket }) => daemon.unread(socket.localPort ?? 0) > 0);
  await until(arrived, "all requests to lie in the kernel");
  daemon.child.kill("SIGTERM");
  daemon.child.kill("SIGCONT");
  for (const one of clients) expect((await nextResponse(one, "POST")).body).toBe("ok");
  expect(await within(daemon.exited, "the end")).toBe(0);
});

test("connections that nobody has used for a second do not hold a stop up", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const daemon = await startDaemon(["--http", String(web.port), "--drain", "1m"], ownRuntime());
  const idle = await Promise.all(Array.from({ length: 20 }, () => dial(daemon.port)));
  const closed = idle.map((one) => one.ended.then(() => one.halfClose()));
  const used = performance.now();
  await until(() => performance.now() - used > 1000, "a second to pass");
  daemon.child.kill("SIGTERM");
  await Promise.all(closed);
  expect(await within(daemon.exited, "the end")).toBe(0);
  const [began, ended] = ["draining", "stopped"].map((word) => daemon.log.find(({ msg }) => msg === word)?.["time"]);
  expect(Number(ended) - Number(began)).toBeLessThan(900);
});
