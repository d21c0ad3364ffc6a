// A client that half-closes behind its request (`printf ... | nc -N`). Its FIN is also that of a tab that was closed,
// so it ends the request, as it does in nginx and Caddy. HAProxy answers.

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { run } from "../kit/command.ts";
import { startDaemon } from "../kit/daemon.ts";
import { noFront } from "../kit/fronts.ts";
import { caddyInFrontOf, runNginx, serving, temporaryFolder } from "../kit/programs.ts";
import { readmeBlock, substitute } from "../kit/readme.ts";
import { recorded } from "../kit/recording.ts";
import { deadPort, httpUpstream, rawUpstream } from "../kit/upstream.ts";
import { within } from "../kit/until.ts";

const NC = "/usr/bin/nc.openbsd";
const noNc = existsSync(NC) ? undefined : `${NC} is missing`;
const REQUEST = head("GET /x HTTP/1.1", "Host: localhost", "Connection: close");
const PATIENCE = 20_000;

test("a client that half-closes while it waits, or while its answer comes, ends its request upstream", async () => {
  const { daemon, upstream } = await recorded(() => "");
  const waits = await dial(daemon.port);
  waits.send(REQUEST);
  const asked = await upstream.next(PATIENCE);
  await asked.readUntil("\r\n\r\n", PATIENCE);
  waits.halfClose();
  await within(asked.ended, "the request to end", PATIENCE);
  await within(waits.ended, "the client's connection to end", PATIENCE);
  expect(waits.received()).toBe("");

  const reads = await dial(daemon.port);
  reads.send(REQUEST);
  const answering = await upstream.next(PATIENCE);
  answering.send(`${head("HTTP/1.1 200 OK")}first`);
  await reads.readUntil("first", PATIENCE);
  reads.halfClose();
  await within(answering.ended, "the answer to end", PATIENCE);
  await within(reads.ended, "the client's connection to end", PATIENCE);
  // The last chunk is missing: what was cut looks cut.
  expect(reads.received()).not.toMatch(/\r\n0\r\n\r\n$/);
  const line = await daemon.logged(
    ({ by, status }) => by === "client" && status === 0,
    "the one that waited",
    PATIENCE,
  );
  expect(line).toMatchObject({ how: "fin", phase: "waiting" });
});

test("what needs no upstream is answered all the same", async () => {
  const { daemon } = await recorded();
  for (const [request, status] of [
    [head("GET /x HTTP/1.1"), 400],
    [head("CONNECT a:1 HTTP/1.1", "Host: a:1"), 405],
  ] as const) {
    const client = await dial(daemon.port);
    client.socket.end(request);
    await within(client.ended, "the end", PATIENCE);
    expect(client.received()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  }
});

test.skipIf(noNc)("nc as the README says is answered; with -N it is not", async () => {
  const recipe = readmeBlock("sh", "| nc ");
  const web = await httpUpstream((_req, res) => res.end("the dashboard"));
  const daemon = await startDaemon(["--http", String(web.port)]);
  const here = { "nc 127.0.0.1 3000": `${NC} 127.0.0.1 ${daemon.port}` };
  const answered = await run("sh", ["-c", substitute(recipe, here)], {}, PATIENCE);
  expect(answered.stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nthe dashboard$/);
  // What is answered sooner than the FIN comes is answered; this is not.
  const slow = await recorded(() => "");
  const early = { "nc 127.0.0.1 3000": `${NC} -N 127.0.0.1 ${slow.daemon.port}` };
  expect(await run("sh", ["-c", substitute(recipe, early)], {}, PATIENCE)).toMatchObject({ stdout: "" });
});

/** nginx before a port, without TLS and as it comes. */
async function nginxBefore(target: number): Promise<number> {
  return (await runNginx(`location / { proxy_pass http://127.0.0.1:${target}; }`)).port;
}

/** HAProxy before a port, without TLS and as it comes. */
async function haproxyBefore(target: number): Promise<number> {
  const [folder, port] = [await temporaryFolder(), await deadPort()];
  const file = join(folder, "haproxy.cfg");
  const times = "timeout connect 5s\n timeout client 60s\n timeout server 60s";
  const listen = `listen x\n bind 127.0.0.1:${port}\n server s 127.0.0.1:${target}\n`;
  await writeFile(file, `defaults\n mode http\n ${times}\n${listen}`);
  return (await serving(port, "/usr/sbin/haproxy", ["-db", "-f", file])).port;
}

// What the decision rests on: should one of them change its mind, so may we.
const FRONTS = [
  ["nginx", nginxBefore, "gives up"],
  ["Caddy", async (target: number) => (await caddyInFrontOf(target)).port, "gives up"],
  ["HAProxy", haproxyBefore, "answers"],
] as const;

for (const [name, before, outcome] of FRONTS) {
  const title = `${name} ${outcome} when a client half-closes behind its request`;
  test.skipIf(noFront(name))(title, { timeout: 60_000 }, async () => {
    const upstream = await rawUpstream();
    const client = await dial(await before(upstream.port));
    client.send(REQUEST);
    const asked = await upstream.next(PATIENCE);
    await asked.readUntil("\r\n\r\n", PATIENCE);
    client.halfClose();
    if (outcome === "gives up") {
      await within(asked.ended, `${name} to give up`, PATIENCE);
      return;
    }
    // Its FIN was there before the answer: that went on the same connection.
    asked.send(head("HTTP/1.1 200 OK", "Content-Length: 2") + "ok");
    await client.readUntil("\r\n\r\nok", PATIENCE);
  });
}
