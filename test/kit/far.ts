// The far end of a connection, in another thread: it can act while the test's thread is between two statements.

import { readSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { isReset } from "../../src/core/sockets.ts";
import { atEnd } from "./lifetime.ts";
import { until, within } from "./until.ts";

const PATIENCE_MS = 30_000;

/** What the far end can do. `read` takes so many bytes as its buffer has, once. */
export type Deed = "read" | "half-close" | "close" | "reset";

/** Both ends of one connection. */
export interface FarPair {
  ours: Socket;
  /** Has the far end do something; resolves when it is done. For `read`, when bytes have come. */
  does(deed: Deed): Promise<void>;
  /** Has the far end do something while this thread stands still, until the system knows of it and node does not. */
  unseen(deed: Exclude<Deed, "read">): void;
}

const FAR = `
const { connect } = require("node:net");
const { parentPort, workerData } = require("node:worker_threads");
const { port, bytes } = workerData;
const callback = () => (parentPort.postMessage("read"), false);
const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, onread: { buffer: Buffer.alloc(bytes), callback } });
socket.pause().on("error", () => {});
parentPort.on("message", (deed) => {
  if (deed === "read") return socket.resume();
  if (deed === "half-close") return socket.end(() => parentPort.postMessage(deed));
  if (deed === "reset") socket.resetAndDestroy();
  if (deed === "close") socket.destroy();
  parentPort.postMessage(deed);
});
`;

/** Connects a far end that reads `bytes` at a time. */
export async function farPair(bytes = 64 * 1024): Promise<FarPair> {
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const workerData = { port: (server.address() as AddressInfo).port, bytes };
  const worker = new Worker(FAR, { eval: true, workerData });
  const done: string[] = [];
  worker.on("message", (deed: string) => done.push(deed));
  const ours = await within(accepted, "the far end to connect", PATIENCE_MS);
  server.close();
  atEnd(async () => {
    ours.destroy();
    await worker.terminate();
  });
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
  const tell = (deed: Deed): void => worker.postMessage(deed);
  const does = async (deed: Deed): Promise<void> => {
    tell(deed);
    await until(() => done.includes(deed), `the far end to ${deed}`, PATIENCE_MS);
  };
  const unseen = (deed: Deed): void => {
    tell(deed);
    const known = deed === "reset" ? () => isReset(ours) : () => hasFin(ours);
    const last = performance.now() + PATIENCE_MS;
    while (!known() && performance.now() < last);
  };
  return { ours, does, unseen };
}

/** Has the system a FIN that node has not read yet? */
function hasFin(socket: Socket): boolean {
  const { _handle: handle } = socket as { _handle?: { fd: number } };
  try {
    return readSync(handle?.fd ?? -1, Buffer.alloc(1), 0, 1, null) === 0;
  } catch {
    return false;
  }
}
