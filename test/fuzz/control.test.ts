// Any bytes on the control socket and on the admin port: the connection has an end, and the next one is answered.

import { existsSync } from "node:fs";
import { connect } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { wrap } from "../kit/client.ts";
import { faultsIn, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { anyBytes, cutAt, mangled, patience, places, tryOut } from "../kit/fuzz.ts";
import { ask, controlSocket, ownRuntime } from "../kit/ops.ts";
import { until, within } from "../kit/until.ts";

interface Operated {
  daemon: TestDaemon;
  /** Where it can be asked: the control socket, and the admin port. */
  doors: (string | number)[];
}

async function start(): Promise<Operated> {
  const env = ownRuntime();
  const daemon = await startDaemon(["--http", "1", "--admin", "127.0.0.1:0"], env);
  const control = controlSocket(env, daemon.port);
  await until(() => existsSync(control), "the control socket");
  const { msg } = await daemon.logged((line) => line.msg.startsWith("admin on "), "the admin port");
  return { daemon, doors: [control, Number(msg.slice(msg.lastIndexOf(":") + 1))] };
}

// Not a POST to /drain: that is no mistake, and ends it.
const line = fc.constantFrom(
  "GET /live HTTP/1.1",
  "GET /status?x HTTP/1.1",
  "HEAD /metrics HTTP/1.1",
  "GET /events HTTP/1.1",
  "GET /drain HTTP/1.1",
  "PUT /status HTTP/1.0",
  "GET http://[::1/ready HTTP/1.1",
  "CONNECT a:1 HTTP/1.1",
  "GET /../.. HTTP/1.1",
);
const field = fc.constantFrom(
  "Host: a",
  "Content-Length: 5",
  "Transfer-Encoding: chunked",
  "Connection: upgrade",
  "Upgrade: websocket",
  "Expect: 100-continue",
  "Connection: close",
  "X: \xff",
);
const body = fc.constantFrom("", "hello", "5\r\nhello\r\n0\r\n\r\n", "zz\r\n");
const message = fc
  .tuple(line, fc.array(field, { maxLength: 4 }), body)
  .map(([first, fields, rest]) => [first, ...fields, "", rest].join("\r\n"));
const odd = fc.oneof(anyBytes, fc.constantFrom("\r\n", "\n", " ", "\0", ":", "\r\n\r\n"));
const request = fc.oneof(message, mangled(message, odd, 1), mangled(message, odd), anyBytes);
const AT_ONCE = 20;

async function poke(door: string | number, pieces: Buffer[]): Promise<void> {
  const socket = typeof door === "number" ? connect(door, "127.0.0.1") : connect(door);
  const client = wrap(socket);
  await within(new Promise((resolve) => socket.once("connect", resolve)), "a connection");
  for (const piece of pieces) await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
  client.halfClose();
  await within(client.ended, `the end of ${JSON.stringify(Buffer.concat(pieces).toString("latin1"))}`, 8000);
  // 503 is how /ready says no.
  expect(client.received()).not.toMatch(/^HTTP\/1\.1 50[0-24-9]/m);
}

test("any bytes to operators' doors", { timeout: patience() }, async () => {
  const { daemon, doors } = await start();
  const open = await daemon.settledSockets();
  const cases = fc.array(fc.tuple(request, places), { minLength: 1, maxLength: AT_ONCE, size: "max" });
  await tryOut(
    fc.asyncProperty(cases, fc.constantFrom(...doors), async (all, door) => {
      await Promise.all(all.map(([text, cuts]) => poke(door, cutAt(Buffer.from(text, "latin1"), cuts))));
      expect((await ask(door, "/live")).body).toBe("live\n");
    }),
  );
  await until(() => daemon.sockets() <= open, "no socket left");
  expect(daemon.child.exitCode).toBeNull();
  expect(daemon.stderr()).toBe("");
  expect(faultsIn(daemon.log)).toEqual([]);
});
