// Which origins may open a tunnel, and how many tunnels there may be.

import { request } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tempFolder } from "../kit/child.ts";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon, type LogLine, type TestDaemon } from "../kit/daemon.ts";
import { endOf, nextResponse, type WireResponse } from "../kit/messages.ts";
import { openRaw, openWs } from "../kit/tunnel.ts";
import { httpUpstream, muxUpstream, rawUpstream } from "../kit/upstream.ts";
import { until, within } from "../kit/until.ts";

/** The status an upgrade gets, and the code of a refusal. */
async function opens(daemon: TestDaemon, path: string, ...fields: string[]): Promise<number | string> {
  const client = await dial(daemon.port);
  const withHost = fields.some((field) => field.startsWith("Host:"));
  const request = upgrade(path, ...fields);
  client.send(withHost ? request.replace("Host: localhost\r\n", "") : request);
  const answer = await nextResponse(client);
  if (answer.status === 101) return 101;
  expect(await endOf(client)).toBe("fin");
  const { error } = JSON.parse(answer.body) as { error: { code: string; status: number } };
  expect(error.status).toBe(answer.status);
  return error.code;
}

const REFUSED = "origin_not_allowed";
const HOST_REFUSED = "host_not_allowed";
const REFUSED_EITHER = /^(origin|host)_not_allowed$/;

describe("a page of which origin may open a mux", () => {
  const own = "Host: dash.example";
  const cases: [string, string[], number | string][] = [
    ["no Origin: it is no browser", [own], 101],
    ["its own", [own, "Origin: http://dash.example"], 101],
    ["its own, over TLS that ends before us", [own, "Origin: https://dash.example"], 101],
    ["its own, in other letters", [own, "Origin: HTTPS://Dash.Example"], 101],
    ["its own, with the default port in Host", ["Host: dash.example:443", "Origin: https://dash.example"], 101],
    ["its own, on another port", ["Host: localhost:3000", "Origin: http://localhost:3000"], 101],
    ["its own, on IPv6", ["Host: [::1]:3000", "Origin: http://[::1]:3000"], 101],
    [
      "the name a front says was asked for",
      ["Host: 127.0.0.1:3000", "Origin: https://dash.example", "X-Forwarded-Host: dash.example"],
      101,
    ],
    ["another", [own, "Origin: https://evil.example"], REFUSED],
    ["another port of its own host", ["Host: localhost:3000", "Origin: http://localhost:4000"], REFUSED],
    ["the port of the other scheme", ["Host: dash.example:443", "Origin: http://dash.example"], REFUSED],
    ["one that begins like its own", [own, "Origin: https://dash.example.evil.example"], REFUSED],
    ["one that ends like its own", [own, "Origin: https://evildash.example"], REFUSED],
    ["one with its own as the user", [own, "Origin: https://dash.example@evil.example"], REFUSED],
    ["a sandboxed page", [own, "Origin: null"], REFUSED],
    ["an empty one", [own, "Origin: "], REFUSED],
    ["an extension", [own, "Origin: chrome-extension://dash.example"], REFUSED],
    ["a file", [own, "Origin: file://"], REFUSED],
    ["two at once", [own, "Origin: https://dash.example https://evil.example"], REFUSED],
  ];

  test("its own, whatever the front does to scheme and name; no other", async () => {
    const mux = await muxUpstream();
    const here = ["--allow-host", "dash.example"];
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, ...here]);
    const found: typeof cases = [];
    for (const [what, fields] of cases) {
      const before = mux.clients.length;
      const answer = await opens(daemon, "/mux", ...fields);
      expect(mux.clients.length - before, what).toBe(answer === 101 ? 1 : 0);
      found.push([what, fields, answer]);
    }
    expect(found).toEqual(cases);
  });

  test("X-Forwarded-Host of a peer that is not trusted counts for nothing", async () => {
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, "--trust-proxy", "none"]);
    const forged = ["Host: dash.example", "Origin: https://evil.example", "X-Forwarded-Host: evil.example"];
    expect(await opens(daemon, "/mux", ...forged)).toBe(REFUSED);
  });

  test("--allow-origin adds some, and no others", async () => {
    const mux = await muxUpstream();
    const allowed = ["--allow-origin", "https://One.example", "--allow-origin", "http://two.example:8080"];
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, ...allowed]);
    expect(await opens(daemon, "/mux", "Origin: https://one.example")).toBe(101);
    expect(await opens(daemon, "/mux", "Origin: http://two.example:8080")).toBe(101);
    expect(await opens(daemon, "/mux", "Origin: http://localhost")).toBe(101);
    expect(await opens(daemon, "/mux", "Origin: http://one.example")).toBe(REFUSED);
    expect(await opens(daemon, "/mux", "Origin: http://two.example")).toBe(REFUSED);
  });

  test("--allow-origin * lets all in", async () => {
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, "--allow-origin", "*"]);
    for (const origin of ["https://evil.example", "null", "file://"]) {
      expect(await opens(daemon, "/mux", `Origin: ${origin}`)).toBe(101);
    }
  });

  test("other paths are the web server's own business", async () => {
    const [web, mux] = [await muxUpstream(), await muxUpstream()];
    const daemon = await startDaemon(["--http", String(web.port), "--mux", `/term=${mux.port}/mux`]);
    expect(await opens(daemon, "/mux", "Origin: https://evil.example")).toBe(101);
  });

  test("unless that server is the mux, which may read any path as its own", async () => {
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", `localhost:${mux.port}`, "--mux", `/term=${mux.port}/mux`]);
    const paths = ["/mux", "/%6dux", "/x/../mux", "/mux/", "/mux?x", "http://localhost/mux", "http://evil.example/mux"];
    for (const path of paths) {
      expect(await opens(daemon, path, "Origin: https://evil.example"), path).toMatch(REFUSED_EITHER);
      expect(await opens(daemon, path, "Host: evil.example", "Origin: http://evil.example"), path).toMatch(
        REFUSED_EITHER,
      );
    }
    expect(mux.clients).toEqual([]);
    expect(await opens(daemon, "/mux", "Origin: http://localhost")).toBe(101);
    expect(await opens(daemon, "/mux")).toBe(101);
  });
});

describe("by which host a page may open a mux", () => {
  const page = (host: string): string[] => [`Host: ${host}`, `Origin: http://${host}`];

  test("its own name, if it is one of this machine: another may have been pointed here", async () => {
    const mux = await muxUpstream();
    const listed = ["--allow-host", "dash.example", "--allow-host", "*.below.example"];
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, "--host", "localhost", ...listed]);
    const mine = [
      "localhost:3000",
      "a.localhost",
      "127.0.0.1:3000",
      "[::1]:3000",
      "dash.example:81",
      "x.below.example",
    ];
    for (const host of mine) expect(await opens(daemon, "/mux", ...page(host)), host).toBe(101);
    for (const host of ["evil.example:3000", "below.example", "localhost.evil.example"]) {
      expect(await opens(daemon, "/mux", ...page(host)), host).toBe(HOST_REFUSED);
    }
    expect(await opens(daemon, "/mux", "Host: evil.example")).toBe(101);
    const everybody = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, "--allow-host", "*"]);
    expect(await opens(everybody, "/mux", ...page("evil.example"))).toBe(101);
  });

  test.each(
    ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"].concat([
      "Forwarded: for=192.0.2.1",
      "CF-Connecting-IP: 192.0.2.1",
    ]),
  )("a front that says %s vouches for it, if it is trusted", async (field) => {
    const mux = await muxUpstream();
    const args = ["--http", "1", "--mux", `${mux.port}/mux`];
    expect(await opens(await startDaemon(args), "/mux", ...page("evil.example"), field)).toBe(101);
    const distrustful = await startDaemon([...args, "--trust-proxy", "none"]);
    expect(await opens(distrustful, "/mux", ...page("evil.example"), field)).toBe(HOST_REFUSED);
  });

  test("answer and log say what was seen, what was expected, and what lets it in", async () => {
    const daemon = await startDaemon(["--http", "1", "--mux", "2/mux"]);
    const refused = async (...fields: string[]): Promise<Record<string, unknown>> => {
      const client = await dial(daemon.port);
      client.send(upgrade("/mux", ...fields).replace("Host: localhost\r\n", ""));
      return (JSON.parse((await nextResponse(client)).body) as { error: Record<string, unknown> }).error;
    };
    const host = await refused(...page("evil.example:3000"));
    expect(host).toMatchObject({
      code: HOST_REFUSED,
      message: expect.stringMatching(
        / Received: host evil\.example:3000\. Set --allow-host evil\.example to allow it\.$/,
      ),
    });
    const origin = await refused("Host: localhost:3000", "Origin: https://evil.example");
    expect(origin).toMatchObject({
      code: REFUSED,
      message: expect.stringMatching(
        / Received: origin https:\/\/evil\.example\. Set --allow-origin https:\/\/evil\.example to allow it\.$/,
      ),
    });
    const lineOf = (id: unknown): Promise<LogLine> => daemon.logged((line) => line["id"] === id, "the refusal");
    const common = { by: "client", how: "limit", status: 403 };
    expect(await lineOf(host["id"])).toMatchObject({
      ...common,
      why: {
        seen: "host evil.example:3000",
        expected: expect.stringMatching(/^localhost, an IP address, .*--allow-host$/),
      },
    });
    expect(await lineOf(origin["id"])).toMatchObject({
      ...common,
      why: { expected: "a page of localhost:3000", option: "--allow-origin https://evil.example" },
    });
  });
});

describe("by which host the admin address may be asked", () => {
  const ask = async (daemon: TestDaemon, path: string, ...fields: string[]): Promise<WireResponse> => {
    const line = await daemon.logged(({ msg }) => msg.startsWith("admin on "), "admin address");
    const client = await dial(Number(/:(\d+)$/.exec(line.msg)?.[1]));
    client.send(head(`GET ${path} HTTP/1.1`, ...fields, "Connection: close"));
    return await nextResponse(client);
  };

  test("a name that was pointed here reads nothing, whatever its script sends along", async () => {
    const daemon = await startDaemon(["--http", "1", "--admin", "0", "--allow-host", "ops.example"]);
    for (const path of ["/live", "/ready", "/status", "/metrics", "/events", "/", "/nothing"]) {
      const answer = await ask(daemon, path, "Host: evil.example:9900", "X-Forwarded-For: 192.0.2.1");
      expect([answer.status, answer.field("x-single-port-error")]).toEqual([403, HOST_REFUSED]);
      expect(answer.body).toMatch(/^received: host evil.example:9900\n(.*\n)to allow it: --allow-host evil.example\n$/);
    }
    const line = await daemon.logged(
      ({ msg }) => msg === "refused a request to --admin: its host is not allowed",
      "a refusal",
    );
    expect(line).toMatchObject({ level: 40, seen: "host evil.example:9900", option: "--allow-host evil.example" });
    for (const host of ["localhost:1", "127.0.0.1:9900", "[::1]", "ops.example"]) {
      expect((await ask(daemon, "/live", `Host: ${host}`)).status, host).toBe(200);
    }
  });

  test("on a unix socket, where no browser comes, it is not asked for", async () => {
    const path = join(tempFolder(), "admin.sock");
    await startDaemon(["--http", "1", "--admin", `unix:${path}`]);
    const answer = new Promise<number | undefined>((resolve, reject) => {
      const asked = request({ socketPath: path, path: "/live", headers: { Host: "evil.example" } });
      asked.on("response", (res) => resolve(res.resume().statusCode)).on("error", reject);
      asked.end();
    });
    expect(await within(answer, "an answer")).toBe(200);
  });
});

describe("--max-tunnels", () => {
  test("one too many is told so, and none of the others notices", async () => {
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`, "--max-tunnels", "2"]);
    const first = await openWs(daemon);
    await openWs(daemon);
    const client = await dial(daemon.port);
    client.send(upgrade());
    const answer = await nextResponse(client);
    expect([answer.status, answer.field("retry-after")]).toEqual([503, "1"]);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code: "too_many", status: 503 } });
    expect(await endOf(client)).toBe("fin");
    const echoed = new Promise((resolve) => first.once("message", (data: Buffer) => resolve(data.toString())));
    first.send("still here");
    expect(await within(echoed, "echo")).toBe("still here");
    first.terminate();
    await daemon.logged(({ msg }) => msg === "tunnel ended", "the end of one");
    await until(async () => (await opens(daemon, "/mux")) === 101, "a place");
  });

  test("handshakes that wait for their answer count, too", async () => {
    const upstream = await rawUpstream();
    const daemon = await startDaemon(["--http", "1", "--mux", `${upstream.port}/mux`, "--max-tunnels", "2"]);
    await openRaw(daemon, upstream);
    const waiting = await dial(daemon.port);
    waiting.send(upgrade());
    await (await upstream.next()).readUntil("\r\n\r\n");
    expect(await opens(daemon, "/mux")).toBe("too_many");
  });
});

test("--max-connections: one too many is told so and closed, the others are served", async () => {
  const web = await httpUpstream((_req, res) => res.end("served"));
  const mux = await muxUpstream();
  const limits = ["--max-connections", "3"];
  const daemon = await startDaemon(["--http", String(web.port), "--mux", `${mux.port}/mux`, ...limits]);
  const socket = await openWs(daemon);
  const ask = async (client: RawClient): Promise<number> => {
    client.send(head("GET / HTTP/1.1", "Host: a"));
    return (await nextResponse(client)).status;
  };
  const [one, two] = [await dial(daemon.port), await dial(daemon.port)];
  expect([await ask(one), await ask(two)]).toEqual([200, 200]);
  const fourth = await dial(daemon.port);
  const answer = await nextResponse(fourth);
  expect(answer.status).toBe(503);
  expect(JSON.parse(answer.body)).toMatchObject({ error: { code: "too_many", status: 503 } });
  expect(await endOf(fourth)).toBe("fin");
  expect([await ask(one), await ask(two)]).toEqual([200, 200]);
  const echoed = new Promise((resolve) => socket.once("message", (data: Buffer) => resolve(data.toString())));
  socket.send("still here");
  expect(await within(echoed, "echo")).toBe("still here");
  one.halfClose();
  await endOf(one);
  await until(async () => (await ask(await dial(daemon.port))) === 200, "a place");
});
