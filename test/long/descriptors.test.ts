// Out of file descriptors: a shortage of this process is no failure of an upstream.

import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { openStream } from "../kit/events.ts";
import { ask, nextResponse } from "../kit/messages.ts";
import { httpUpstream } from "../kit/upstream.ts";
import { within } from "../kit/until.ts";

const LIMIT = 64;
const GET = head("GET / HTTP/1.1", "Host: a");

/** Connects until there are no descriptors left; returns the connections that were accepted. */
async function exhaust(daemon: TestDaemon): Promise<RawClient[]> {
  const clients = await Promise.all(Array.from({ length: LIMIT }, () => dial(daemon.port)));
  const gone = new Set<RawClient>();
  await within(
    Promise.race(clients.map((client) => client.ended.then(() => gone.add(client)))),
    "a connection that is not accepted",
  );
  return clients.filter((client) => !gone.has(client));
}

// A name is looked up for each connection, and that takes a descriptor, too.
test.each(["127.0.0.1", "localhost"])(
  "%s: a request waits for one, nobody is cut, the upstream is not dead",
  async (host) => {
    const web = await httpUpstream((req, res) => {
      if (req.url === "/events") res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
      else res.end("ok");
    });
    const own = ["--hold", "2500ms", "--probe-interval", "300ms", "--on-down", "exit 1"];
    const limited = ["bash", "-c", `ulimit -n ${LIMIT}; exec "$@"`, "bash"];
    const daemon = await startDaemon(["--http", `${host}:${web.port}`, ...own], {}, limited);
    const stream = await openStream(daemon.port);
    const [first, ...others] = await exhaust(daemon);
    first?.send(GET);
    const response = await nextResponse(first as RawClient);
    expect([response.status, response.field("x-single-port-error")]).toEqual([503, "too_many"]);
    const outcome = await daemon.logged(({ error }) => error === "too_many", "its end");
    expect(outcome).toMatchObject({ by: "proxy", how: "limit", attempts: [{ code: "EMFILE", phase: "connect" }] });
    for (const other of others) other.reset();
    expect((await ask(daemon.port, GET)).body).toBe("ok");
    const told = daemon.log.map(({ msg }) => msg).filter((msg) => /is (suspect|reconnecting)|on-down/.test(msg));
    expect(told).toEqual([]);
    expect(stream.text()).toContain("data: 1");
    expect(await Promise.race([stream.ended, Promise.resolve("open")])).toBe("open");
  },
);
