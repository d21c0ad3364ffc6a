import { createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { Clock } from "../../src/core/timer.ts";
import { dial, type ConnectionUser, type UpstreamConnection } from "../../src/upstream/connection.ts";
import { MAX_ONCE_BYTES } from "../../src/upstream/once.ts";
import { MAX_IDLE, Pool } from "../../src/upstream/pool.ts";
import { DOUBT_MS } from "../../src/upstream/trust.ts";
import { until } from "../kit/until.ts";

/** Both ends of real connections. */
let near: Socket[] = [];
let far: Socket[] = [];
let pair: () => Promise<{ ours: UpstreamConnection; theirs: Socket }>;

beforeEach(async () => {
  near = [];
  far = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => far.push(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  pair = async () => {
    const index = near.length;
    const ours = dial({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
    near.push(ours.socket);
    await once(ours.socket, "connect");
    return { ours, theirs: await until(() => far[index], "accept") };
  };
  onTestFinished(() => void server.close());
});

afterEach(() => {
  for (const socket of [...near, ...far]) socket.destroy();
});

test("the youngest is taken first, so that the old ones age out", async () => {
  const pool = new Pool(new Clock(5), 60_000);
  const { ours: old } = await pair();
  const { ours: young } = await pair();
  pool.put(old, undefined);
  pool.put(young, undefined);
  expect(pool.take()).toBe(young);
  expect(pool.take()).toBe(old);
  expect(pool.take()).toBeUndefined();
});

test("an idle connection is closed when it has been idle for too long", async () => {
  const pool = new Pool(new Clock(5), 30);
  const { ours, theirs } = await pair();
  theirs.resume();
  pool.put(ours, undefined);
  await once(theirs, "end");
  expect(pool.size).toBe(0);
});

test("a shorter hint of the upstream wins, with a fifth to spare; a longer one does not", async () => {
  const pool = new Pool(new Clock(5), 60_000);
  const [hinted, spared] = [await pair(), await pair()];
  hinted.theirs.resume();
  pool.put(hinted.ours, 50);
  pool.put(spared.ours, 120_000);
  await once(hinted.theirs, "end");
  expect(pool.size).toBe(1);
  expect(pool.take()).toBe(spared.ours);
});

test("nothing is kept with --recycle 0, nor after the hint 0", async () => {
  const never = new Pool(new Clock(5), 0);
  const pool = new Pool(new Clock(5), 60_000);
  const [one, other] = [await pair(), await pair()];
  never.put(one.ours, undefined);
  pool.put(other.ours, 0);
  expect([one.ours.socket.destroyed, other.ours.socket.destroyed, never.size, pool.size]).toEqual([true, true, 0, 0]);
});

test.each([
  ["FIN", (theirs: Socket) => theirs.end()],
  ["RST", (theirs: Socket) => theirs.resetAndDestroy()],
  ["bytes nobody asked for", (theirs: Socket) => theirs.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")],
])("an idle connection ends by a %s of its upstream", async (_what, end) => {
  const pool = new Pool(new Clock(5), 60_000);
  const { ours, theirs } = await pair();
  pool.put(ours, undefined);
  end(theirs);
  await until(() => pool.size === 0, "the pool to be empty");
  expect(ours.socket.destroyed).toBe(true);
});

test("a connection that is taken hears nothing of the pool any more", async () => {
  const pool = new Pool(new Clock(5), 20);
  const { ours, theirs } = await pair();
  pool.put(ours, undefined);
  expect(pool.take()).toBe(ours);
  const chunks: Buffer[] = [];
  const user: ConnectionUser = {
    onData: (chunk) => void chunks.push(chunk),
    onDrain: () => {},
    onFin: () => {},
    onClosed: () => {},
  };
  ours.user = user;
  theirs.write("an answer");
  await until(() => chunks.length > 0, "the answer");
  expect([ours.socket.destroyed, ours.reused, pool.size]).toEqual([false, true, 0]);
});

test("at most so many are kept: the oldest is closed", async () => {
  const pool = new Pool(new Clock(5), 60_000);
  const all: UpstreamConnection[] = [];
  for (let i = 0; i < MAX_IDLE + 10; i++) all.push((await pair()).ours);
  for (const one of all) pool.put(one, undefined);
  expect(pool.size).toBe(MAX_IDLE);
  expect(all.map(({ socket }) => socket.destroyed)).toEqual(all.map((_, index) => index < 10));
  expect(pool.take()).toBe(all.at(-1));
});

test("an empty pool does not keep the clock ticking, and one that is filled again is watched again", async () => {
  const clock = new Clock(5);
  const pool = new Pool(clock, 20);
  const watched: string[] = [];
  const watch = clock.watch.bind(clock);
  clock.watch = (deadline) => {
    watched.push("watched");
    const membership = watch(deadline);
    const leave = (): void => {
      watched.push("forgotten");
      membership.leave();
    };
    return { leave };
  };
  for (let round = 0; round < 2; round++) {
    pool.put((await pair()).ours, undefined);
    await until(() => pool.size === 0, "recycling");
  }
  expect(watched).toEqual(["watched", "forgotten", "watched", "forgotten"]);
});

test("cleared, all of them are closed", async () => {
  const pool = new Pool(new Clock(5), 60_000);
  const [one, other] = [await pair(), await pair()];
  pool.put(one.ours, undefined);
  pool.put(other.ours, undefined);
  pool.clear();
  expect([one.ours.socket.destroyed, other.ours.socket.destroyed, pool.size]).toEqual([true, true, 0]);
});

const MINUTE = 60_000;

test("a request that may be sent only once gets one that was promised for longer, and no other", async () => {
  const pool = new Pool(new Clock(5), MINUTE);
  const { ours } = await pair();
  pool.put(ours, MINUTE);
  const now = performance.now();
  expect([now, now + MINUTE / 2 - 2000, now + MINUTE / 2 + 1].map((at) => pool.offersOnce(1, at))).toEqual([
    true,
    true,
    false,
  ]);
  expect(pool.takeOnce(1)).toBe(ours);
  pool.put(ours, undefined);
  expect([pool.takeOnce(1), pool.take()]).toEqual([undefined, ours]);
});

test("nor one to which so many bytes may not go", async () => {
  const pool = new Pool(new Clock(5), MINUTE);
  const { ours } = await pair();
  pool.put(ours, MINUTE);
  expect([pool.takeOnce(MAX_ONCE_BYTES + 1), pool.takeOnce(MAX_ONCE_BYTES)]).toEqual([undefined, ours]);
});

test.each([
  ["a FIN", (theirs: Socket) => theirs.end()],
  ["a RST", (theirs: Socket) => theirs.resetAndDestroy()],
  ["bytes nobody asked for", (theirs: Socket) => theirs.write("HTTP/1.1 200 OK\r\n")],
])("an upstream caught by %s gets none for a while", async (_what, end) => {
  const pool = new Pool(new Clock(5), 10 * DOUBT_MS);
  const [one, other] = [await pair(), await pair()];
  pool.put(other.ours, MINUTE);
  pool.put(one.ours, MINUTE);
  end(one.theirs);
  await until(() => pool.size === 1, "the end of that one");
  const now = performance.now();
  expect([pool.takeOnce(1), pool.take()]).toEqual([undefined, other.ours]);
  const patient = [now + DOUBT_MS - MINUTE, now + DOUBT_MS + MINUTE];
  pool.put(other.ours, 10 * DOUBT_MS);
  expect(patient.map((at) => pool.offersOnce(1, at))).toEqual([false, true]);
});

test("an upstream that ends a connection when its time is over, or that promised nothing, is not caught", async () => {
  const pool = new Pool(new Clock(5), MINUTE);
  const [one, other, third] = [await pair(), await pair(), await pair()];
  pool.put(third.ours, MINUTE);
  pool.put(one.ours, undefined);
  one.theirs.end();
  await until(() => pool.size === 1, "the end of that one");
  other.theirs.resume();
  // Kept by us for 40 ms, and never longer.
  pool.put(other.ours, 50);
  await until(() => pool.size === 1, "the end of the other");
  expect(pool.takeOnce(1)).toBe(third.ours);
});

test("a connection that broke under a request catches its upstream, too", async () => {
  const pool = new Pool(new Clock(5), MINUTE);
  const { ours } = await pair();
  pool.put(ours, MINUTE);
  pool.broke();
  expect(pool.takeOnce(1)).toBeUndefined();
});
