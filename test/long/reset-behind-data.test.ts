// A RST that arrives together with the last bytes is an end like any other to node (libuv reports EOF on POLLHUP).

import { expect, test } from "vitest";
import { dial, head, isWhole, type RawClient } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { openRaw } from "../kit/tunnel.ts";
import { rawUpstream } from "../kit/upstream.ts";
import { within } from "../kit/until.ts";

// Bytes and RST do not always come together. More lines than these would be left out of the log in a second.
const ROUNDS = 10;

test.each(["1.0", "1.1"])(
  "a close-delimited body that is reset right behind its bytes does not look complete to a client of HTTP/%s",
  async (version) => {
    const upstream = await rawUpstream((peer) => {
      peer.socket.once("data", () => {
        peer.send(`${head("HTTP/1.1 200 OK")}half a body`);
        peer.reset();
      });
    });
    const daemon = await startDaemon(["--http", String(upstream.port)]);
    for (let round = 0; round < ROUNDS; round += 1) {
      const client = await dial(daemon.port);
      client.send(head(`GET /${round} HTTP/${version}`, "Host: a"));
      await client.readUntil("half a body");
      const end = await within(
        Promise.race([client.ended, client.readUntil("0\r\n\r\n").then(() => "fin" as const)]),
        "end",
      );
      expect(isWhole(client.received(), end)).toBe(false);
      const line = await daemon.logged(({ path }) => path === `/${round}`, "request");
      expect(line).toMatchObject({ by: "upstream", how: "rst", phase: "response_body", status: 200 });
    }
  },
);

/** What a client has sent when the upstream has got it, and what it sends in one piece with its RST. */
const uploads: [string, string, string][] = [
  ["mid request body", head("POST /0 HTTP/1.1", "Host: a", "Content-Length: 100"), "some of it"],
  ["waiting", head("GET /0 HTTP/1.1", "Host: a"), head("GET /pipelined HTTP/1.1", "Host: a")],
];

test.each(uploads)(
  "a client that resets right behind its bytes, %s, is no client that closed",
  async (_, asked, last) => {
    const upstream = await rawUpstream();
    const daemon = await startDaemon(["--http", String(upstream.port)]);
    for (let round = 0; round < ROUNDS; round += 1) {
      const client = await dial(daemon.port);
      client.send(asked.replace("/0", `/${round}`));
      const peer = await upstream.next();
      await peer.readUntil("\r\n\r\n");
      peer.socket.once("end", () => peer.halfClose());
      client.send(last);
      client.reset();
      const line = await daemon.logged(({ path }) => path === `/${round}`, "request");
      expect(line).toMatchObject({ by: "client", how: "rst" });
    }
  },
);

const reset = (peer: RawClient): void => {
  peer.send("bytes");
  peer.reset();
};

test.each(["client", "upstream"] as const)("a tunnel whose %s resets right behind its bytes", async (side) => {
  const upstream = await rawUpstream();
  const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`]);
  for (let round = 0; round < ROUNDS; round += 1) {
    const { client, mux } = await openRaw(daemon, upstream, `/mux?${round}`);
    const other = side === "client" ? mux : client;
    other.socket.once("end", () => other.halfClose());
    const count = daemon.log.length;
    reset(side === "client" ? client : mux);
    await within(other.ended, "the end");
    await daemon.logged((line) => daemon.log.indexOf(line) >= count && line.msg === "tunnel ended", "tunnel");
    expect(daemon.log.findLast(({ msg }) => msg === "tunnel ended")).toMatchObject({ by: side, how: "rst" });
  }
});
