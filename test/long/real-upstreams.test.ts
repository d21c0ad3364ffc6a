// Web servers that people have, of other languages than ours: Python's http.server, aiohttp and uvicorn, Go's net/http,
// nginx. The same small server each time (test/kit/peers/web.*), with the habits of its library.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { dial, head, type RawClient } from "../kit/client.ts";
import { faultsIn, startDaemon, type LogLine, type TestDaemon } from "../kit/daemon.ts";
import { forFile } from "../kit/lifetime.ts";
import { nextResponse, type WireResponse } from "../kit/messages.ts";
import { startChild, startPeer, type Peer } from "../kit/peer.ts";
import { noNginx, runNginx, temporaryFolder } from "../kit/programs.ts";
import { closed, openWs } from "../kit/tunnel.ts";
import { until, within } from "../kit/until.ts";

vi.setConfig({ testTimeout: 60_000 });
const PATIENCE = 30_000;
const FILE = Array.from({ length: 10_000 }, (_, n) => `line ${n}\n`).join("");
const BIG = "x".repeat(8_000_000);

/** What is particular about a server. */
interface Habits {
  /** Starts it on a port, or on a free one. */
  start: (port?: number) => Promise<Peer>;
  /** Why it cannot run here, if so. */
  missing: string | undefined;
  /** Does it understand a body in chunks, ranges, WebSockets? */
  chunks: boolean;
  ranges: boolean;
  webSockets: boolean;
  /** Does it close connections that were idle for a second? */
  closesIdle: boolean;
  /** Does it end what has no length by closing, and that with a RST where it has not read all? */
  closesAtOnce: boolean;
}

const python = (kind: string) => (port?: number) => Promise.resolve(startPeer("web.py", [kind, String(port ?? 0)]));
const packages = "/usr/lib/python3/dist-packages";
const missing = (...files: string[]): string | undefined => {
  const gone = files.filter((file) => !existsSync(file));
  return gone.length > 0 ? `${gone.join(" and ")} missing` : undefined;
};

const GO = "/usr/bin/go";
/** The Go server, built once. */
const goServer = forFile(async () => {
  if (!existsSync(GO)) return "";
  const folder = await temporaryFolder();
  const source = fileURLToPath(new URL("../kit/peers/web.go", import.meta.url));
  const env = { ...process.env, GOCACHE: join(folder, "cache"), GOTOOLCHAIN: "local" };
  execFileSync(GO, ["build", "-o", join(folder, "web"), source], { env, stdio: "pipe" });
  return join(folder, "web");
});

const SERVERS: Record<string, Habits> = {
  "Python's http.server": {
    start: python("http.server"),
    missing: missing("/usr/bin/python3"),
    chunks: false,
    ranges: false,
    webSockets: false,
    closesIdle: false,
    closesAtOnce: true,
  },
  aiohttp: {
    start: python("aiohttp"),
    missing: missing(`${packages}/aiohttp`),
    chunks: true,
    ranges: false,
    webSockets: true,
    closesIdle: false,
    closesAtOnce: false,
  },
  uvicorn: {
    start: python("uvicorn"),
    missing: missing(`${packages}/uvicorn`, `${packages}/websockets`),
    chunks: true,
    ranges: false,
    webSockets: true,
    closesIdle: true,
    closesAtOnce: false,
  },
  "Go's net/http": {
    start: (port) => Promise.resolve(startChild(goServer(), [String(port ?? 0)])),
    missing: missing(GO),
    chunks: true,
    ranges: true,
    webSockets: false,
    closesIdle: false,
    closesAtOnce: false,
  },
};

/** A request on a connection that may have carried others. */
async function say(
  client: RawClient,
  method: string,
  path: string,
  fields: string[] = [],
  body = "",
): Promise<WireResponse> {
  client.send(head(`${method} ${path} HTTP/1.1`, "Host: a", ...fields) + body);
  return await nextResponse(client, method, PATIENCE);
}

/** The server and a daemon before it. */
async function behind(
  { start }: Habits,
  ...args: string[]
): Promise<{ server: Peer; port: number; daemon: TestDaemon }> {
  const server = await start();
  const port = await server.printed("port", PATIENCE);
  const daemon = await startDaemon(["--http", String(port), "--mux", `${port}/mux`, "--hold", "60s", ...args]);
  return { server, port, daemon };
}

/** Asks for /hello; resolves with whether that took a connection that had been used before, by the log. */
async function helloAgain(daemon: TestDaemon, client: RawClient): Promise<boolean> {
  const hellos = (): LogLine[] => daemon.log.filter((line) => line["path"] === "/hello");
  const before = hellos().length;
  expect(await say(client, "GET", "/hello")).toMatchObject({ status: 200, body: "hello" });
  const line = await until(() => hellos()[before], "the log of it", PATIENCE);
  return (line["attempts"] as { reused: boolean }[]).at(-1)?.reused === true;
}

for (const [name, habits] of Object.entries(SERVERS)) {
  describe.skipIf(habits.missing)(name, () => {
    test("keeps its connection for one GET after another, and answers HEAD without a body", async () => {
      const { daemon } = await behind(habits);
      const client = await dial(daemon.port);
      expect(await helloAgain(daemon, client)).toBe(false);
      for (let n = 0; n < 20; n += 1) expect(await helloAgain(daemon, client)).toBe(true);
      const asked = await say(client, "HEAD", "/file");
      expect([asked.status, asked.body]).toEqual([200, ""]);
      expect([undefined, String(FILE.length)]).toContain(asked.field("content-length"));
      expect((await say(client, "GET", "/file")).body).toBe(FILE);
      const ranged = await say(client, "GET", "/file", ["Range: bytes=5-9"]);
      if (habits.ranges) {
        expect(ranged).toMatchObject({ status: 206, body: FILE.slice(5, 10) });
        expect(ranged.field("content-range")).toBe(`bytes 5-9/${FILE.length}`);
        const since = ranged.field("last-modified") ?? "";
        expect(await say(client, "GET", "/file", [`If-Modified-Since: ${since}`])).toMatchObject({
          status: 304,
          body: "",
        });
      } else expect(ranged).toMatchObject({ status: 200, body: FILE });
      await helloAgain(daemon, client);
      expect(faultsIn(daemon.log)).toEqual([]);
    });

    test("gets uploads whole, with a length and in chunks, and may refuse one before it was sent", async () => {
      const { daemon } = await behind(habits);
      const client = await dial(daemon.port);
      const length = [`Content-Length: ${BIG.length}`];
      expect((await say(client, "POST", "/echo", length, BIG)).body === BIG).toBe(true);
      const half = BIG.slice(0, 100_000);
      const chunks = `${half.length.toString(16)}\r\n${half}\r\n`.repeat(2) + "0\r\n\r\n";
      const echoed = await say(client, "POST", "/echo", ["Transfer-Encoding: chunked"], chunks);
      if (habits.chunks) expect([echoed.status, echoed.body === half + half]).toEqual([200, true]);
      // http.server answers, then takes them for requests and closes: a RST that may overtake its answer.
      else expect([200, 502]).toContain(echoed.status);
      await helloAgain(daemon, client);
      const refused = await say(await dial(daemon.port), "POST", "/limited", length, BIG);
      // A RST overtakes the 413, for whoever talks to such a server directly, too (nginx, HAProxy and Caddy: the same).
      expect(habits.closesAtOnce ? [413, 502] : [413]).toContain(refused.status);
      expect(refused.body).toMatch(/too large|closed the connection/i);
      await helloAgain(daemon, client);
      expect(faultsIn(daemon.log)).toEqual([]);
    });

    test("streams events one by one; killed, they end, and who asks next waits for it to come back", async () => {
      const { server, port, daemon } = await behind(habits);
      const page = await dial(daemon.port);
      const stream = await dial(daemon.port);
      stream.send(head("GET /events HTTP/1.1", "Host: a", "Accept: text/event-stream"));
      for (const n of [0, 1]) {
        await stream.readUntil(`data: ${n}\n\n`, PATIENCE);
        expect(stream.received()).not.toContain(`data: ${n + 1}`);
        expect((await say(page, "GET", "/more")).status).toBe(200);
      }
      await stream.readUntil("data: 2\n\n", PATIENCE);
      server.signal("SIGKILL");
      await server.exited;
      // A FIN is how a stream without length or chunks ends well, so nobody can tell.
      if (habits.closesAtOnce) await stream.readUntil("\r\n0\r\n\r\n", PATIENCE);
      else {
        await within(stream.ended, "the stream to end", PATIENCE);
        expect(stream.received()).not.toMatch(/\r\n0\r\n\r\n$/);
      }
      page.send(head("GET /hello HTTP/1.1", "Host: a"));
      await daemon.logged(
        (line) => line["state"] === "reconnecting" || line["state"] === "suspect",
        "the outage",
        PATIENCE,
      );
      await (await habits.start(port)).printed("port", PATIENCE);
      expect((await nextResponse(page, "GET", PATIENCE)).status).toBe(200);
    });

    test.skipIf(!habits.closesIdle)("closes what is idle: a GET and a POST behind that are answered", async () => {
      const { daemon } = await behind(habits);
      const alone = (await daemon.settledSockets()) + 1;
      const client = await dial(daemon.port);
      const isClosed = async (): Promise<void> => {
        await until(() => daemon.sockets() === alone, "the server to close its connection", PATIENCE);
      };
      expect([await helloAgain(daemon, client), await helloAgain(daemon, client)]).toEqual([false, true]);
      await isClosed();
      expect([await helloAgain(daemon, client), await helloAgain(daemon, client)]).toEqual([false, true]);
      await isClosed();
      expect((await say(client, "POST", "/echo", ["Content-Length: 5"], "hello")).body).toBe("hello");
      expect(faultsIn(daemon.log)).toEqual([]);
    });

    test.skipIf(!habits.webSockets)(
      "serves WebSockets: subprotocol, small and large messages, a Close of its own",
      async () => {
        const { server, daemon } = await behind(habits, "--ping-interval", "1s");
        const socket = await openWs(daemon, "/mux", {}, ["chat"]);
        expect(socket.protocol).toBe("chat");
        const received: string[] = [];
        socket.on("message", (data: Buffer) => received.push(data.toString()));
        const sent = ["a", "b".repeat(200), "c".repeat(70_000), "d".repeat(900_000)];
        for (const text of sent) socket.send(text);
        await until(() => received.length === sent.length, "the echo", PATIENCE);
        expect(received.every((text, n) => text === sent[n])).toBe(true);
        const end = closed(socket, PATIENCE);
        socket.send("bye");
        expect(await end).toBe(4001);
        // Silent ones are pinged, and the server's library answers.
        const silent = await openWs(daemon, "/mux", {}, ["chat"]);
        const lost = closed(silent, PATIENCE);
        await daemon.logged((line) => line["kind"] === "tunnel", "the first one's end", PATIENCE);
        server.signal("SIGKILL");
        expect(await lost).toBe(1012);
        expect(faultsIn(daemon.log)).toEqual([]);
      },
    );
  });
}

const HTTP_SERVER = SERVERS["Python's http.server"] as Habits;

test.skipIf(HTTP_SERVER.missing)("http.server does not do what stands in a body that it does not read", async () => {
  const { server, daemon } = await behind(HTTP_SERVER);
  const evil = head("GET /evil HTTP/1.1", "Host: a");
  const client = await dial(daemon.port);
  for (const method of ["GET", "HEAD"]) {
    const answer = await say(client, method, "/file", [`Content-Length: ${evil.length}`], evil);
    expect(answer).toMatchObject({ status: 200, body: method === "GET" ? FILE : "" });
    await helloAgain(daemon, client);
  }
  await until(() => server.stdout().match(/^GET \/hello /gm)?.length === 2, "what the server did", PATIENCE);
  expect(server.stdout()).not.toContain("/evil");
});

test.skipIf(noNginx())("nginx: kept connections, HEAD, ranges, 304, and a 413 in the middle of an upload", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "file"), FILE);
  const own = "keepalive_timeout 1s; client_max_body_size 1k; location /hello { return 200 hello; }";
  const { port } = await runNginx(own, folder);
  const daemon = await startDaemon(["--http", String(port)]);
  const alone = (await daemon.settledSockets()) + 1;
  const client = await dial(daemon.port);
  expect([await helloAgain(daemon, client), await helloAgain(daemon, client)]).toEqual([false, true]);
  const asked = await say(client, "HEAD", "/file");
  expect([asked.status, asked.field("content-length"), asked.body]).toEqual([200, String(FILE.length), ""]);
  const etag = asked.field("etag") ?? "";
  expect(await say(client, "GET", "/file", [`If-None-Match: ${etag}`])).toMatchObject({ status: 304, body: "" });
  const two = await say(client, "GET", "/file", ["Range: bytes=0-3,7-10", `If-Range: ${etag}`]);
  expect([two.status, two.field("content-type")]).toEqual([206, expect.stringMatching(/^multipart\/byteranges/)]);
  expect(two.body).toMatch(/bytes 0-3\/\d+\r\n\r\nline\r\n[^]*bytes 7-10\/\d+\r\n\r\nline\r\n/);
  expect((await say(client, "GET", "/file", ["Range: bytes=999999-"])).status).toBe(416);
  const uploader = await dial(daemon.port);
  const refused = await say(uploader, "POST", "/hello", [`Content-Length: ${BIG.length}`], BIG);
  expect(refused).toMatchObject({ status: 413, body: expect.stringContaining("413") });
  uploader.reset();
  // It closes what was idle for a second; the daemon drops that, and dials again.
  await until(() => daemon.sockets() === alone, "nginx to close its connections", PATIENCE);
  expect(await helloAgain(daemon, client)).toBe(false);
  expect(faultsIn(daemon.log)).toEqual([]);
});
