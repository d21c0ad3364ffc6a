import { describe, expect, test } from "vitest";
import { passTrailers } from "../../src/http/fields.ts";
import { isLoop, readRequestHead, viaOf, type Peer } from "../../src/http/request-head.ts";
import { QUIET_VIA, toUpstream, type Adds } from "../../src/http/upstream-head.ts";
import {
  interimHead,
  readResponseHead,
  switchingHead,
  toClient,
  type ResponseHead,
} from "../../src/http/response-head.ts";

const VIA = viaOf("abcd");
const ALL: Adds = { via: VIA, viaField: "Via", forwarded: true };
const QUIET: Adds = { via: VIA, viaField: QUIET_VIA, forwarded: false };
const FRONT: Peer = { address: "127.0.0.1", trusted: true };
const STRANGER: Peer = { address: "198.51.100.9", trusted: false };

/** `Name: value` lines to node's raw array. */
const raw = (...lines: string[]): string[] =>
  lines.flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
/** And back. */
const lines = (fields: readonly string[]): string[] =>
  fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${fields[i + 1]}`] : []));

/** The lines that go up. */
function up(sent: string[], about: { method?: string; peer?: Peer; upgrade?: boolean; adds?: Adds } = {}): string[] {
  const head = readRequestHead(raw(...sent));
  const line = { method: about.method ?? "GET", path: "/" };
  const text = toUpstream(head, line, about.peer ?? FRONT, about.adds ?? ALL, about.upgrade ?? false);
  return text.split("\r\n").slice(1, -2);
}

/** A response's head, as bytes would bring it. */
function response(...sent: string[]): ResponseHead {
  const head = readResponseHead(["HTTP/1.1 200 OK", ...sent].join("\r\n"));
  if (!head) throw new Error("no head");
  return head;
}
const only = (all: string[], names: RegExp): string[] => all.filter((line) => names.test(line));

/** The lines that go to the client. */
function down(sent: string[]): string[] {
  return lines(toClient(response(...sent), true, false));
}

describe("what passes", () => {
  test("order, case, duplicates and odd names stay as they are", () => {
    const kept = [
      "hOST: a",
      "X-B: 1",
      "x-a: 2",
      "X-b: 3",
      "__proto__: 4",
      "constructor: 5",
      "toString: 6",
      "Cookie: a",
      "cookie: b",
    ];
    expect(up(kept).slice(0, kept.length)).toEqual(kept);
    const answer = ["sET-cookie: a", "Set-Cookie: b", "Set-Cookie: a", "__proto__: 1", "X-B: 2", "x-a: 3"];
    expect(down(answer)).toEqual(answer);
  });

  test.each([
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: gzip",
    "Upgrade: h2c",
    "HTTP2-Settings: AAA",
    "Proxy-Authorization: Basic eDp5",
    "Proxy-Authenticate: Basic",
    "Connection: keep-alive",
    "cONNECTION: close",
  ])("a request's %s is for this hop only", (field) => {
    expect(up(["Host: a", field, "X: y"])).toEqual(up(["Host: a", "X: y"]));
  });

  test("of TE the wish for trailers goes along, and Connection names it", () => {
    const sent = up(["Host: a", "TE: gzip, Trailers", "X: y"]);
    const without = up(["Host: a", "X: y"]).slice(0, -1);
    expect(sent).toEqual([...without, "TE: trailers", "Connection: keep-alive, TE"]);
  });

  test.each([
    "Keep-Alive: timeout=5",
    "Proxy-Connection: close",
    "TE: x",
    "Upgrade: h2c",
    "Connection: close",
    "proxy-authenticate: x",
  ])("an answer's %s is for this hop only", (field) => {
    expect(down(["A: b", field, "X: y"])).toEqual(["A: b", "X: y"]);
  });

  test("fields that Connection names go, wherever they stand and however they are written", () => {
    const sent = [
      "X-One: 1",
      "Host: a",
      "Connection: x-ONE , ,X-Two,close",
      "x-two: 2",
      "Connection: X-Three",
      "X-THREE: 3",
      "X-Four: 4",
    ];
    expect(up(sent)).toEqual(up(["Host: a", "X-Four: 4"]));
    expect(down(sent)).toEqual(["Host: a", "X-Four: 4"]);
  });

  test.each([
    "Host: a",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: b",
    "X-Forwarded-Port: 443",
    "Forwarded: for=192.0.2.1",
    "X-Real-IP: 192.0.2.1",
    "CF-Connecting-IP: 192.0.2.1",
    "Via: 1.1 front",
    "X-Single-Port-Via: 1.1 front",
  ])("Connection cannot take %s away", (field) => {
    const host = field.startsWith("Host") ? [] : ["Host: a"];
    expect(up([...host, field, `Connection: ${field.split(":")[0]}`], { method: "POST" })).toEqual(
      up([...host, field], { method: "POST" }),
    );
  });

  test("an answer's Connection cannot take its framing away", () => {
    expect(down(["Content-Length: 5", "Connection: content-length"])).toEqual(["Content-Length: 5"]);
    expect(down(["Transfer-Encoding: chunked", "Connection: transfer-encoding"])).toEqual([
      "Transfer-Encoding: chunked",
    ]);
  });
});

describe("who the client is", () => {
  const claims = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: b"];
  const more = [
    "Forwarded: for=192.0.2.1",
    "X-Real-IP: 192.0.2.1",
    "CF-Connecting-IP: 192.0.2.1",
    "X-Forwarded-Port: 443",
  ].concat(["True-Client-IP: 192.0.2.1", "CF-Ray: 1-FRA"]);
  const FORWARDING = /^(x-forwarded|forwarded|x-real|cf-|true-client)/i;

  test("a trusted peer's word is kept, and its address appended", () => {
    expect(only(up(["Host: a", ...claims, ...more]), FORWARDING)).toEqual([
      "X-Forwarded-For: 192.0.2.1, 127.0.0.1",
      ...claims.slice(1),
      ...more,
    ]);
  });

  test("several X-Forwarded-For become one list, without empty ones", () => {
    const sent = ["X-Forwarded-For: 192.0.2.1, 192.0.2.2", "x-forwarded-for:", "X-FORWARDED-FOR: 192.0.2.3"];
    expect(only(up(["Host: a", ...sent]), /^X-Forwarded-For/)).toEqual([
      "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1",
    ]);
  });

  test("anybody else's word is dropped, and written anew", () => {
    expect(only(up(["Host: a", ...claims, ...more], { peer: STRANGER }), FORWARDING)).toEqual([
      "X-Forwarded-For: 198.51.100.9",
      "X-Forwarded-Proto: http",
      "X-Forwarded-Host: a",
    ]);
  });

  test("a peer on a unix socket has no address to append", () => {
    const peer = { address: "", trusted: true };
    expect(only(up(["Host: a"], { peer }), /^X-Forwarded-For/)).toEqual([]);
    expect(only(up(["Host: a", "X-Forwarded-For: 192.0.2.1"], { peer }), /^X-Forwarded-For/)).toEqual([
      "X-Forwarded-For: 192.0.2.1",
    ]);
  });

  test("Via is appended, and a request that has been here is recognised", () => {
    const seen = readRequestHead(raw("Via: 1.0 front", `via: 1.1 other, ${VIA}`));
    expect(only(up(["Host: a", "Via: 1.0 front", "Via: 1.1 other"]), /^Via/)).toEqual([
      `Via: 1.0 front, 1.1 other, ${VIA}`,
    ]);
    expect([isLoop(seen, VIA), isLoop(seen, viaOf("ef01")), isLoop(readRequestHead([]), VIA)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("what is added can be left out", () => {
  const claims = ["X-Forwarded-For: 192.0.2.1, 192.0.2.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: b"].concat([
    "Forwarded: for=192.0.2.1",
    "CF-Connecting-IP: 192.0.2.1",
  ]);
  const rest = [`X-Single-Port-Via: ${VIA}`, "Connection: keep-alive"];

  test.each<[string, Peer]>([
    ["a front", FRONT],
    ["a front on a unix socket", { address: "", trusted: true }],
    ["a stranger", STRANGER],
  ])("of a request of %s without claims nothing is said", (_, peer) => {
    expect(up(["Host: a", "X: y"], { peer, adds: QUIET })).toEqual(["Host: a", "X: y", ...rest]);
  });

  test("a trusted peer's word passes as it is", () => {
    expect(up(["Host: a", ...claims], { adds: QUIET })).toEqual(["Host: a", ...claims, ...rest]);
    const some = ["X-Forwarded-Proto: https"];
    expect(up(["Host: a", ...some, "X-Forwarded-For: "], { adds: QUIET })).toEqual(["Host: a", ...some, ...rest]);
  });

  test("anybody else's word is dropped", () => {
    const sent = ["Host: a", ...claims, "X_Forwarded_For: 192.0.2.1"];
    expect(up(sent, { peer: STRANGER, adds: QUIET })).toEqual(["Host: a", ...rest]);
  });

  test("each by itself", () => {
    expect(only(up(["Host: a"], { adds: { ...QUIET, forwarded: true } }), /^(x-|via)/i)).toEqual([
      "X-Forwarded-For: 127.0.0.1",
      "X-Forwarded-Proto: http",
      "X-Forwarded-Host: a",
      rest[0],
    ]);
    expect(only(up(["Host: a"], { adds: { ...ALL, forwarded: false } }), /^(x-|via)/i)).toEqual([`Via: ${VIA}`]);
  });

  test("an upgrade's head is the same", () => {
    expect(up(["Host: a", "Connection: Upgrade", "Upgrade: websocket"], { adds: QUIET, upgrade: true })).toEqual([
      "Host: a",
      rest[0],
      "Connection: Upgrade",
      "Upgrade: websocket",
    ]);
  });

  test.each<[string, Adds, string]>([
    ["Via", ALL, "Via"],
    ["X-Single-Port-Via", QUIET, "X-Single-Port-Via"],
  ])("what has signed under either name goes on under %s", (_, adds, name) => {
    const sent = ["X-Single-Port-Via: 1.1 other", "VIA: 1.0 front", "x-single-port-via: 1.1 another"];
    expect(only(up(["Host: a", ...sent], { adds }), /via:/i)).toEqual([
      `${name}: 1.1 other, 1.0 front, 1.1 another, ${VIA}`,
    ]);
  });

  test("a loop is noticed under either name, and other spellings are nobody's", () => {
    const heads = ["Via", "X-Single-Port-Via", "x-single-port-VIA", "X_Single_Port_Via"].map((name) =>
      readRequestHead(raw("Host: a", `${name}: 1.0 front, ${VIA}`, `Connection: ${name}`)),
    );
    expect(heads.map((head) => isLoop(head, VIA))).toEqual([true, true, true, false]);
    expect(heads.map(({ fields }) => fields)).toEqual(heads.map(() => ["Host", "a"]));
  });
});

test("what a head says beside its fields", () => {
  const upgrade = (...fields: string[]): boolean => readRequestHead(raw(...fields)).websocket;
  expect(upgrade("Connection: keep-alive, UPGRADE", "Upgrade: WebSocket")).toBe(true);
  expect(upgrade("Connection: keep-alive", "Connection: upgrade", "Upgrade: h2c", "Upgrade: websocket")).toBe(true);
  expect(upgrade("Upgrade: websocket")).toBe(false);
  expect(upgrade("Connection: Upgrade", "Upgrade: h2c, websockets")).toBe(false);
  const head = readRequestHead(
    raw("Expect: 100-Continue", "idempotency-key: x", "origin: http://a", "cf-ray: 1", "Content-Length: 7"),
  );
  expect(head).toMatchObject({
    expectsContinue: true,
    idempotencyKey: true,
    origin: "http://a",
    ray: "1",
    length: "7",
  });
  const answer = (...fields: string[]): unknown => {
    const { keepAliveMs, eventStream } = response(...fields);
    return [keepAliveMs, eventStream];
  };
  expect(answer("Keep-Alive: max=3, timeout=5", "Content-Type: Text/Event-Stream; charset=utf-8")).toEqual([
    5000,
    true,
  ]);
  expect(answer('keep-alive: timeout="7"', "Content-Type: text/event-streams")).toEqual([7000, false]);
  expect(answer("Keep-Alive: xtimeout=5")).toEqual([undefined, false]);
});

test("trailers that decide how a message is read are not passed", () => {
  const refused = [
    "Content-Length",
    "transfer-ENCODING",
    "Host",
    "Connection",
    "Trailer",
    "TE",
    "Upgrade",
    "Via",
    "X-Single-Port-Via",
    "Authorization",
  ].concat([
    "Set-Cookie",
    "Content-Type",
    "X-Forwarded-For",
    "Forwarded",
    "CF-Ray",
    "Proxy-Authorization",
    "Keep-Alive",
  ]);
  expect(passTrailers(raw(...refused.map((name) => `${name}: x`), "X-Sum: 1", "x-sum: 2", "__proto__: 3"))).toEqual([
    ["X-Sum", "1"],
    ["x-sum", "2"],
    ["__proto__", "3"],
  ]);
});

test("the heads that are written by hand", () => {
  expect(
    interimHead({
      ...response("Link: a", "Link: b", "Connection: X", "X: 1", "Content-Length: 5"),
      status: 103,
      reason: "Early\x01 H\xefnts",
    }),
  ).toBe("HTTP/1.1 103 Early Hnts\r\nLink: a\r\nLink: b\r\n\r\n");
  const cookies = ["Set-Cookie: a", "Set-Cookie: b", "Sec-WebSocket-Protocol: x"];
  expect(switchingHead(response("Connection: upgrade, X-Mine", "Upgrade: websocket", "X-Mine: 1", ...cookies))).toBe(
    `HTTP/1.1 101 Switching Protocols\r\n${cookies.join("\r\n")}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  );
});
