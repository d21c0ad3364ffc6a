import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { departed } from "../../src/core/departed.ts";
import { until } from "../kit/until.ts";

/** An accepted socket that is never read, and its peer. */
async function pair(host: string): Promise<[Socket, Socket]> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, host);
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const peer = connect((server.address() as AddressInfo).port, host);
  const [socket] = (await once(server, "connection")) as [Socket];
  onTestFinished(() => {
    socket.destroy();
    peer.destroy();
  });
  return [socket, peer];
}

test.runIf(process.platform === "linux").each(["127.0.0.1", "::1"])(
  "a peer on %s that was there and left is told by how it left, though nothing is read from it",
  async (host) => {
    for (const how of ["fin", "rst"] as const) {
      const [socket, peer] = await pair(host);
      peer.write("never read");
      expect(departed(socket)).toBeUndefined();
      if (how === "fin") peer.end();
      else peer.resetAndDestroy();
      await until(() => departed(socket), "the end");
      expect(departed(socket)).toBe(how);
      expect(socket.bytesRead).toBe(0);
    }
  },
);
