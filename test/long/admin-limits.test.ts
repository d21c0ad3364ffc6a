// The admin port may use only a share of the descriptors: clients need the rest.

import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, nextResponse } from "../kit/messages.ts";
import { httpUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const DESCRIPTORS = 200;
const GET = head("GET / HTTP/1.1", "Host: a");

test("260 readers of /events under 200 descriptors: the clients are served, and questions answered", async () => {
  const web = await httpUpstream((_req, res) => res.end("ok"));
  const limited = ["bash", "-c", `ulimit -n ${DESCRIPTORS}; exec "$@"`, "bash"];
  const daemon = await startDaemon(["--http", String(web.port), "--admin", "127.0.0.1:0"], {}, limited);
  const said = await daemon.logged(({ msg }) => msg.startsWith("admin on "), "admin address");
  const admin = Number(said.msg.split(":").at(-1));
  const readers = await Promise.all(Array.from({ length: 260 }, () => dial(admin)));
  let closed = 0;
  for (const one of readers) {
    void one.ended.then(() => (closed += 1));
    one.send(head("GET /events HTTP/1.1", "Host: localhost"));
  }
  // An eighth of the descriptors may stay, and half of that for streams.
  const following = (): number => readers.filter((one) => one.received().includes("event: seconds")).length;
  await until(() => closed >= 260 - 25 && following() === 12, "the others to be turned away", 10_000);
  const told = readers.find((one) => one.received().startsWith("HTTP/1.1 503 "));
  expect(told?.received()).toContain("Retry-After: 5");
  const clients = await Promise.all(Array.from({ length: 60 }, () => dial(daemon.port)));
  for (const one of clients) one.send(GET);
  for (const one of clients) expect((await nextResponse(one)).body).toBe("ok");
  // Connections that were told no are idle, and are closed.
  await until(() => closed === 260 - 12, "places for questions", 10_000);
  const live = await ask(admin, head("GET /live HTTP/1.1", "Host: localhost"));
  expect(live.status).toBe(200);
  for (const one of readers) one.reset();
  await within(daemon.stop(), "the end");
});
