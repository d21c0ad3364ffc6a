// Which origins may open a tunnel, and how many tunnels there may be.

import { describe, expect, test } from "vitest";
import { dial, head, upgrade, type RawClient } from "../kit/client.ts";
import { startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { endOf, nextResponse } from "../kit/messages.ts";
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
    const daemon = await startDaemon(["--http", "1", "--mux", `${mux.port}/mux`]);
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
    const mux = await muxUpstream();
    const daemon = await startDaemon(["--http", String(mux.port), "--mux", `/term=${mux.port}/mux`]);
    expect(await opens(daemon, "/mux", "Origin: https://evil.example")).toBe(101);
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
