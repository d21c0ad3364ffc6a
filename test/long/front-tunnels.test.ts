// Tunnels and forwarding fields behind each front, as the README configures it.

import { describe, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { FRONTS, noFront, type Front } from "../kit/fronts.ts";
import { nextResponse } from "../kit/messages.ts";
import { closed } from "../kit/tunnel.ts";
import { httpUpstream, muxUpstream, type MuxUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

const opened = (socket: WebSocket): Promise<unknown> =>
  within(new Promise((resolve) => socket.once("open", resolve)), "open");
const message = (socket: WebSocket): Promise<Buffer> =>
  within(new Promise((resolve) => socket.once("message", (data: Buffer) => resolve(data))), "a message", 8000);

const names = Object.keys(FRONTS) as (keyof typeof FRONTS)[];
describe.each(names)("behind %s", { timeout: 20_000 }, (name) => {
  const cannot = noFront(name);
  const title = (text: string): string => (cannot === undefined ? text : `${text} (${cannot})`);

  /** A proxy with everything behind it, and the front before it. */
  async function dashboard(...args: string[]): Promise<{ front: Front; mux: MuxUpstream; stop: () => unknown }> {
    const web = await httpUpstream((req, res) => res.end(JSON.stringify(req.headers)));
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`, ...args]);
    return { front: await FRONTS[name](daemon.port), mux, stop: () => daemon.stop() };
  }

  test.skipIf(cannot)(title("a page of the dashboard may open a tunnel, a page of somebody else may not"), async () => {
    const { front } = await dashboard();
    const own = front.open("/mux?token=1");
    await opened(own);
    const big = Buffer.alloc(3_000_000, "ab");
    own.send(big);
    expect((await message(own)).equals(big)).toBe(true);
    const foreign = await front.dial();
    foreign.send(
      head(
        "GET /mux HTTP/1.1",
        `Host: ${front.host}`,
        "Origin: https://evil.example",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ),
    );
    const answer = await nextResponse(foreign);
    expect([answer.status, answer.field("x-single-port-error")]).toEqual([403, "origin_not_allowed"]);
  });

  test.skipIf(cannot)(title("Close codes pass, each way; and 1001 when the proxy stops"), async () => {
    const { front, mux, stop } = await dashboard();
    const first = front.open("/mux");
    await opened(first);
    const gotFirst = closed(mux.clients[0] as WebSocket);
    first.close(4001, "done here");
    expect(await gotFirst).toBe(4001);
    const second = front.open("/mux");
    await opened(second);
    const gotSecond = closed(second);
    mux.clients[1]?.close(4002, "done there");
    expect(await gotSecond).toBe(4002);
    const third = front.open("/mux");
    await opened(third);
    const gotThird = closed(third);
    await stop();
    expect(await gotThird).toBe(1001);
  });

  test.skipIf(cannot)(title("a browser that is cut off is noticed by the mux, with a Close"), async () => {
    const { front, mux } = await dashboard();
    const socket = front.open("/mux");
    await opened(socket);
    const told = closed(mux.clients[0] as WebSocket);
    socket.terminate();
    expect(await told).toBe(1001);
  });

  test.skipIf(cannot)(title("a tunnel that says nothing stays open through pings"), async () => {
    const { front, mux } = await dashboard("--ping-interval", "100ms", "--ping-timeout", "5s");
    const socket = front.open("/mux");
    await opened(socket);
    let pings = 0;
    socket.on("ping", () => (pings += 1));
    await until(() => pings >= 5, "five pings");
    expect(socket.readyState).toBe(socket.OPEN);
    mux.clients[0]?.send("still here");
    expect((await message(socket)).toString()).toBe("still here");
  });

  test.skipIf(cannot)(title("the dashboard sees who asked, by which name and scheme"), async () => {
    const { front } = await dashboard();
    const client = await front.dial();
    client.send(
      head("GET / HTTP/1.1", `Host: ${front.host}`, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: evil.example"),
    );
    const got = JSON.parse((await nextResponse(client)).body) as Record<string, string>;
    expect(got["host"]).toBe(front.host);
    expect(got["x-forwarded-host"]).toBe(front.host);
    expect(got["x-forwarded-proto"]).toBe(front.origin.split(":")[0]);
    // Its own peer and ours; what the client claimed is the front's to judge.
    expect(got["x-forwarded-for"]).toMatch(/127\.0\.0\.1, 127\.0\.0\.1$/);
  });
});
