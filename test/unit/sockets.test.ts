import { createServer, type AddressInfo, type Socket } from "node:net";
import { expect, test } from "vitest";
import { finish, guard, linger, reset } from "../../src/core/sockets.ts";
import { dial } from "../kit/client.ts";
import { atEnd } from "../kit/lifetime.ts";
import { every, within } from "../kit/until.ts";

/** A connection that was accepted, and its client. */
async function pair(): Promise<{ socket: Socket; client: Awaited<ReturnType<typeof dial>> }> {
  const server = createServer({ allowHalfOpen: true });
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(() => void server.close());
  const client = await dial((server.address() as AddressInfo).port);
  const socket = await accepted;
  guard(socket);
  return { socket, client };
}

const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

test("a socket is reset", async () => {
  const { socket, client } = await pair();
  const over = closed(socket);
  reset(socket);
  await within(over, "the socket to close");
  expect(await client.ended).toBe("rst");
});

test("a socket on which a FIN is just being sent is closed, not forgotten", async () => {
  const { socket, client } = await pair();
  const over = closed(socket);
  socket.write("all of it");
  socket.end();
  // Node asks libuv for the FIN in the next tick, and libuv sends it in the next turn of the event loop.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  reset(socket);
  await within(over, "the socket to close");
  expect(guard(socket).code).toBe(undefined);
  await client.ended;
  expect(client.received()).toBe("all of it");
});

test("of sockets that linger, the silent one is closed, and one that still sends is read until it is silent", async () => {
  const [silent, sends] = [await pair(), await pair()];
  const order: string[] = [];
  const over = [silent, sends].map(async ({ socket }, n) => {
    await closed(socket);
    order.push(n === 0 ? "silent" : "sends");
  });
  const stop = every(50, () => sends.client.send("x"));
  for (const { socket } of [silent, sends]) {
    // Twice, as from a last answer and a limit: the second time changes nothing.
    linger(socket);
    linger(socket);
  }
  expect([await silent.client.ended, await sends.client.ended]).toEqual(["fin", "fin"]);
  await within(over[0] ?? Promise.reject(new Error("none")), "the silent one to close");
  expect(sends.socket.destroyed).toBe(false);
  const read = sends.socket.bytesRead;
  expect(read).toBeGreaterThan(0);
  stop();
  await within(Promise.all(over), "the other one to close");
  expect(order).toEqual(["silent", "sends"]);
});

test("a socket whose grace ends in a pause of the process is read before it is closed", async () => {
  const { socket, client } = await pair();
  const over = closed(socket);
  finish(socket, 20);
  client.send("bytes");
  const began = performance.now();
  // oxlint-disable-next-line no-empty -- nothing may run meanwhile
  while (performance.now() - began < 60) {}
  await within(over, "the socket to close");
  expect(socket.bytesRead).toBe(5);
});
