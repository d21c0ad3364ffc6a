import { expect, test } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, nextResponse, requestHead } from "../kit/messages.ts";
import { until } from "../kit/until.ts";
import { rawUpstream } from "../kit/upstream.ts";

const EMPTY = head("HTTP/1.1 200 OK", "Content-Length: 0");

// Targets go up byte for byte: each of these is changed, or refused with a crash, by some proxy.
const TARGETS = [
  "/",
  "//",
  "//evil/x",
  "/;c//d",
  "/a/../b",
  "/../../etc/passwd",
  "/a/./b/",
  "/a//b///c",
  "/x@y",
  "//user:pass@host/x?to=a@b",
  "/a\\b\\..\\c",
  "/%00%2e%2E%2f",
  "/%zz%",
  "/?",
  "/a?b?c=//../;@\\",
  "/a#b",
  "/'\"<>^`{|}~!$&()*+,:=[]",
  "/?next=http://other.example/%3F",
  "http://other.example/x//y?z",
  "http://[::1/x",
  `/${"long/".repeat(1000)}`,
];

test("path and query are forwarded byte for byte", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  for (const [index, target] of TARGETS.entries()) {
    client.send(head(`GET ${target} HTTP/1.1`, "Host: a"));
    const peer = index === 0 ? await up.next() : up.accepted[0]!;
    await peer.readUntil(`GET ${target} HTTP/1.1\r\n`);
    peer.send(EMPTY);
    expect((await nextResponse(client)).status, target).toBe(200);
  }
  expect(up.accepted).toHaveLength(1);
});

test("OPTIONS * asks the upstream for *", async () => {
  const up = await rawUpstream((peer) => peer.send(EMPTY));
  const daemon = await startDaemon(["--http", String(up.port)]);
  expect((await ask(daemon.port, head("OPTIONS * HTTP/1.1", "Host: a"))).status).toBe(200);
  expect((await requestHead(up.accepted[0]!)).line).toBe("OPTIONS * HTTP/1.1");
});

test.each(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "PURGE"])(
  "%s passes, without a body and with one",
  async (method) => {
    const up = await rawUpstream();
    const daemon = await startDaemon(["--http", String(up.port)]);

    const bare = await dial(daemon.port);
    bare.send(head(`${method} /bare HTTP/1.1`, "Host: a"));
    const peer = await up.next();
    const { line, fields } = await requestHead(peer);
    expect(line).toBe(`${method} /bare HTTP/1.1`);
    expect(fields.find(([name]) => name === "Transfer-Encoding")).toBeUndefined();
    peer.send(EMPTY);
    expect((await nextResponse(bare, method)).status).toBe(200);

    const full = await dial(daemon.port);
    full.send(`${head(`${method} /full HTTP/1.1`, "Host: a", "Content-Length: 4")}body`);
    // On the connection of the first, or on a fresh one: whichever the method is given.
    const got = (one: RawClient): boolean => one.received().includes("/full");
    const other = await until(() => up.accepted.find(got), "the second request");
    expect(await other.readUntil("\r\n\r\nbody")).toMatch(/\r\nContent-Length: 4\r\n(.*\r\n)*\r\nbody$/);
    other.send(EMPTY);
    expect((await nextResponse(full, method)).status).toBe(200);
  },
);
