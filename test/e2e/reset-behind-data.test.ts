// A RST that arrives together with the last bytes is an end like any other to node (libuv reports EOF on POLLHUP).

import { expect, test } from "vitest";
import { dial, head, isWhole } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
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
