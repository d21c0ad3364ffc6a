// A dial fails although the upstream is alive: local ports are used up, or the upstream's accept queue is full.

import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempFolder } from "../kit/child.ts";
import { dial, head } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { openStream } from "../kit/events.ts";
import { atEnd } from "../kit/lifetime.ts";
import { nextResponse } from "../kit/messages.ts";
import { network, noNetwork } from "../kit/network.ts";
import { startChild } from "../kit/peer.ts";
import { rawUpstream } from "../kit/upstream.ts";
import { until } from "../kit/until.ts";

const GET = head("GET / HTTP/1.1", "Host: a");

/** What was said of the link since it was up. */
const told = ({ log }: TestDaemon): string[] =>
  log.map(({ msg }) => msg).filter((msg) => /is (suspect|reconnecting)|on-down/.test(msg));

test.skipIf(noNetwork())("local ports are used up: a request waits for one, and the upstream is not dead", async () => {
  const net = await network();
  const { here, there } = net.cable();
  execFileSync(net.prefix[0] as string, [
    ...net.prefix.slice(1),
    "sysctl",
    "-qw",
    "net.ipv4.ip_local_port_range=50000 50001",
  ]);
  const up = await rawUpstream(undefined, 0, here);
  const own = ["--hold", "1500ms", "--probe-interval", "300ms", "--on-down", "exit 1", "--host", "0.0.0.0"];
  const daemon = await startDaemon(["--http", `${here}:${up.port}`, ...own], {}, net.prefix);
  await daemon.logged(({ msg }) => msg.includes("is up"), "the upstream to be up");
  const clients = await Promise.all([0, 1, 2, 3].map(() => dial(daemon.port, there)));
  for (const client of clients) client.send(GET);
  const refused = await daemon.logged(({ error }) => error === "too_many", "a request that got no port");
  expect(refused).toMatchObject({ by: "proxy", how: "limit", attempts: [{ code: "EADDRNOTAVAIL" }] });
  expect(told(daemon)).toEqual([]);
});

/** A server on a unix socket that takes its connections only when it is told `go`: its event streams say `data: 1`. */
const SERVER = `
const { createServer } = require("node:http");
createServer((req, res) => {
  if (req.url === "/events") res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\\n\\n");
  else res.end("ok");
}).listen({ path: process.argv[1], backlog: 1 }, () => console.log("listens 1"));`;

test("the backlog of a unix socket is full: requests are held, nothing is cut, the link stands", async () => {
  const path = join(tempFolder(), "socket");
  const web = startChild(process.execPath, ["-e", SERVER, path]);
  await web.printed("listens");
  const daemon = await startDaemon(["--http", `unix:${path}`, "--probe-interval", "300ms", "--on-down", "exit 1"]);
  const stream = await openStream(daemon.port);
  web.signal("SIGSTOP");
  // Whoever is not let in is refused at once.
  const full = new Promise<string>((resolve) => {
    for (let i = 0; i < 8; i += 1) {
      const socket = connect(path).on("error", ({ code }: NodeJS.ErrnoException) => resolve(code ?? ""));
      atEnd(() => void socket.destroy());
    }
  });
  expect(await full).toBe("EAGAIN");
  const client = await dial(daemon.port);
  client.send(GET);
  await until(() => daemon.unread(client.socket.localPort ?? 0) === 0, "the request to be read");
  web.signal("SIGCONT");
  expect((await nextResponse(client)).body).toBe("ok");
  const { attempts } = await daemon.logged(({ path: asked }) => asked === "/", "its end");
  expect(attempts).toMatchObject([{ code: "EAGAIN" }, {}]);
  expect(told(daemon)).toEqual([]);
  expect(stream.text()).toContain("data: 1");
});
