import { expect, test, vi, type Mock } from "vitest";
import { Clock } from "../../src/core/timer.ts";
import { EventRelay } from "../../src/exchange/event-relay.ts";
import { dial, type RawClient } from "../kit/client.ts";
import { rawUpstream } from "../kit/upstream.ts";

const WHOLE = Buffer.from("3\r\none\r\n");
/** More than the kernel keeps for a client that does not read. */
const MUCH = 64 * 1024 * 1024;

/** The long way, and whether the next byte there begins a chunk. */
interface Long {
  isAtChunk: boolean;
  onData: Mock<(chunk: Buffer) => void>;
  onDrain: Mock<() => void>;
  onFin: Mock<() => void>;
  onClosed: Mock<() => void>;
}

interface Relaying {
  relay: EventRelay;
  long: Long;
  onBlocked: Mock<() => void>;
  /** The far end of the client's socket. */
  far: RawClient;
}

async function relaying(): Promise<Relaying> {
  const server = await rawUpstream();
  const { socket } = await dial(server.port);
  const far = await server.next();
  const long: Long = { isAtChunk: true, onData: vi.fn(), onDrain: vi.fn(), onFin: vi.fn(), onClosed: vi.fn() };
  const onBlocked = vi.fn<() => void>();
  return { relay: new EventRelay(socket, new Clock(), long, { onBlocked }), long, onBlocked, far };
}

test("says so when the client's socket is full", async () => {
  const { relay, long, onBlocked, far } = await relaying();
  far.stall();
  const event = Buffer.from(`ffff\r\n${"x".repeat(0xffff)}\r\n`);
  for (let sent = 0; sent < MUCH && onBlocked.mock.calls.length === 0; sent += event.length) {
    relay.onData(event);
  }
  expect(onBlocked).toHaveBeenCalledOnce();
  expect(long.onData).not.toHaveBeenCalled();
});

test("gives everything else to the long way, and what follows, until a chunk begins there", async () => {
  const { relay, long, far } = await relaying();
  const part = Buffer.from("9\r\nab");
  relay.onData(WHOLE);
  long.onData.mockImplementation(() => Object.assign(long, { isAtChunk: false }));
  relay.onData(part);
  long.onData.mockImplementation(() => Object.assign(long, { isAtChunk: true }));
  relay.onData(WHOLE);
  expect(long.onData.mock.calls).toEqual([[part], [WHOLE]]);
  relay.onData(WHOLE);
  expect(long.onData).toHaveBeenCalledTimes(2);
  expect(relay.bytes).toBe(6);
  await far.readUntil(WHOLE.toString().repeat(2));
});

test("gives the end of the connection to the long way", async () => {
  const { relay, long } = await relaying();
  relay.onDrain();
  relay.onFin();
  relay.onClosed();
  for (const heard of [long.onDrain, long.onFin, long.onClosed]) expect(heard).toHaveBeenCalledOnce();
});
