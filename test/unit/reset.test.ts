import { createServer, type AddressInfo, type Socket } from "node:net";
import { expect, test } from "vitest";
import { guard, reset } from "../../src/core/sockets.ts";
import { dial } from "../kit/client.ts";
import { atEnd } from "../kit/lifetime.ts";
import { within } from "../kit/until.ts";

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
