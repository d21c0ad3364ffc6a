import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { takenBytes } from "../../src/core/taken.ts";
import { until } from "../kit/until.ts";

const MB = 1024 * 1024;

test.runIf(process.platform === "linux").each(["127.0.0.1", "::1"])(
  "what lies in the kernels is not taken, on %s; what is read is, to the last byte",
  async (host) => {
    const server = createServer({ pauseOnConnect: true }).listen(0, host);
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, host);
    onTestFinished(() => void socket.destroy());
    const [peer] = (await once(server, "connection")) as [Socket];
    socket.write(Buffer.alloc(32 * MB));
    // Its kernel acknowledges what fits into its buffer.
    const early = await until(() => takenBytes(socket) || undefined, "the first bytes");
    expect(early).toBeLessThan(31 * MB);
    peer.resume();
    await until(() => takenBytes(socket) === 32 * MB, "all of them", 15_000);
    expect(socket.writableLength).toBe(0);
  },
);
