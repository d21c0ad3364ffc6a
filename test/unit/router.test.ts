import { describe, expect, test } from "vitest";
import {
  pathOf,
  route,
  wantsTunnel,
  type Decision,
  type Facts,
  type RequestLine,
  type Routes,
} from "../../src/front/router.ts";

const ROUTES: Routes = {
  mux: new Map([
    ["/ao-terminal-mux", { upstream: "mux", path: "/mux" }],
    ["/mux", { upstream: "mux", path: "/mux" }],
    ["/term", { upstream: "mux2", path: undefined }],
  ]),
  allowOrigin: new Set(["https://allowed.example:8443"]),
  allowHost: new Set(["a.example", "*.below.example"]),
  httpIsMux: false,
};
const TO_HTTP: Decision = { to: "tunnel", upstream: "http", path: undefined };
const TO_MUX: Decision = { to: "tunnel", upstream: "mux", path: "/mux" };
const PLAIN: Decision = { to: "plain" };
const refused = (code: string): unknown => expect.objectContaining({ to: "refuse", code });

const facts = (about: Partial<Facts> = {}): Facts => ({
  hosts: ["a.example"],
  authority: undefined,
  length: undefined,
  codings: [],
  websocket: false,
  origin: undefined,
  forwardedHost: undefined,
  forwarded: about.forwardedHost !== undefined,
  ...about,
});
const get = (path: string): RequestLine => ({ method: "GET", path, version: "1.1" });
const upgradeTo = (url: string, about: Partial<Facts> = {}, trusted = true, routes = ROUTES): Decision =>
  route(get(url), facts({ websocket: true, ...about }), trusted, routes);

describe("paths", () => {
  test.each(["/mux", "/mux?", "/mux?token=1", "/mux?a=/b?c#d", "/ao-terminal-mux", "/ao-terminal-mux?x"])(
    "an upgrade to %s is for the mux",
    (url) => expect(upgradeTo(url)).toEqual(TO_MUX),
  );

  test("no mux: the path by which agent-orchestrator's pages ask for one says so, others are the web server's", () => {
    const none = { ...ROUTES, mux: new Map() };
    expect(upgradeTo("/ao-terminal-mux?x", {}, true, none)).toEqual(refused("no_mux"));
    expect(upgradeTo("/mux", {}, true, none)).toEqual(TO_HTTP);
    expect(route(get("/ao-terminal-mux"), facts(), true, none)).toEqual(PLAIN);
    const other = { ...ROUTES, mux: new Map([["/term", { upstream: "mux", path: undefined }]]) };
    expect(upgradeTo("/ao-terminal-mux", {}, true, other)).toEqual(TO_HTTP);
  });

  test("a mux path without one of its own goes up as it is", () => {
    expect(upgradeTo("/term?x")).toEqual({ to: "tunnel", upstream: "mux2", path: undefined });
  });

  test.each(
    ["/", "//mux", "/mux/", "/./mux", "/x/../mux", "/%6dux", "/m%75x", "/MUX", "/muX", "/mux;x", "/mux/x"].concat([
      "/muxx",
      "/_next/webpack-hmr",
      "/mux%3Fx",
      "/mux\\",
      "//a.example/mux",
    ]),
  )("an upgrade to %s is for the http upstream, byte for byte", (url) => expect(upgradeTo(url)).toEqual(TO_HTTP));

  test("a plain request on a mux path is plain", () => {
    expect(route(get("/mux"), facts(), true, ROUTES)).toEqual(PLAIN);
  });

  test("a path ends at the first question mark", () => {
    expect(["/a?b?c", "/a", "?", "", "/a#b?c"].map(pathOf)).toEqual(["/a", "/a", "", "", "/a#b"]);
  });
});

describe("methods and versions", () => {
  test.each(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"])("%s is plain", (method) => {
    expect(route({ method, path: "/x", version: "1.1" }, facts(), true, ROUTES)).toEqual(PLAIN);
  });

  test.each(["HEAD", "POST", "OPTIONS"])("an upgrade by %s is ignored", (method) => {
    const line = { method, path: "/mux", version: "1.1" };
    expect(wantsTunnel(line, facts({ websocket: true }))).toBe(false);
    expect(route(line, facts({ websocket: true, length: "5" }), true, ROUTES)).toEqual(PLAIN);
  });

  test("CONNECT is refused, whatever else is wrong with it", () => {
    const line = { method: "CONNECT", path: "a:1", version: "1.1" };
    expect(route(line, facts(), true, ROUTES)).toEqual(refused("method_not_allowed"));
    expect(route(line, facts({ hosts: [] }), true, ROUTES)).toEqual(refused("method_not_allowed"));
  });

  test.each(["ANNOUNCE", "SETUP", "PLAY", "constructor"])("%s is no method of HTTP", (method) => {
    expect(route({ method, path: "/x", version: "1.0" }, facts(), true, ROUTES)).toEqual(refused("bad_request"));
  });

  test.each([
    ["1.1", PLAIN],
    ["1.0", PLAIN],
    ["0.9", refused("bad_request")],
    ["2.0", refused("bad_request")],
  ])("HTTP/%s", (version, expected) => {
    expect(route({ method: "GET", path: "/x", version }, facts(), true, ROUTES)).toEqual(expected);
  });

  test("an upgrade by HTTP/1.0 is ignored", () => {
    const line = { method: "GET", path: "/mux", version: "1.0" };
    expect(route(line, facts({ websocket: true, origin: "http://evil.example" }), true, ROUTES)).toEqual(PLAIN);
  });
});

describe("hosts", () => {
  const decide = (hosts: string[], version = "1.1"): Decision =>
    route({ method: "GET", path: "/x", version }, facts({ hosts }), true, ROUTES);

  test.each([
    "a",
    "a.example",
    "a.example:80",
    "a:",
    "A_b-c.d~e",
    "[::1]",
    "[::1]:3000",
    "[::ffff:1.2.3.4]:1",
    "127.0.0.1:1",
    "",
    "%41",
  ])("%j is one", (host) => expect(decide([host])).toEqual(PLAIN));

  test.each([
    "a b",
    "a,b c",
    "a/b",
    "a?b",
    "a#b",
    "x@a",
    "a:b",
    "a:1:2",
    "::1",
    "[::1",
    "::1]",
    "[::1]x",
    "[x]",
    "a\\b",
    "\xe9",
    "a\tb",
    "http://a",
  ])("%j is none", (host) => expect(decide([host])).toEqual(refused("bad_request")));

  test("one is needed, by HTTP/1.1 only, and never two", () => {
    expect(decide([])).toEqual(refused("bad_request"));
    expect(decide([], "1.0")).toEqual(PLAIN);
    expect(decide(["a", "a"])).toEqual(refused("bad_request"));
    expect(decide(["a", "b"], "1.0")).toEqual(refused("bad_request"));
  });
});

describe("targets", () => {
  const decide = (authority: string | undefined, path: string | undefined = "/x", hosts = ["b"]): Decision =>
    route({ method: "GET", path, version: "1.1" }, facts({ authority, hosts }), true, ROUTES);

  test("one that is nonsense is refused", () =>
    expect(route({ ...get("/"), path: undefined }, facts(), true, ROUTES)).toEqual(refused("bad_request")));

  test.each(["a.example", "a.example:80", "[::1]:3000"])("the authority %j stands in for Host", (authority) => {
    expect(decide(authority)).toEqual(PLAIN);
    expect(upgradeTo("/mux", { authority, hosts: ["b"], origin: `http://${authority}` })).toEqual(TO_MUX);
    expect(upgradeTo("/mux", { authority, hosts: ["b"], origin: "http://b" })).toEqual(refused("origin_not_allowed"));
  });

  test.each(["", ":80", "u@a", "u:p@a", "[::1", "a b", "a\\b", "\xe9"])("the authority %j is none", (authority) => {
    expect(decide(authority)).toEqual(refused("bad_request"));
  });

  test("Host has to be right beside it", () => {
    for (const hosts of [[], ["b", "b"], ["x y"]]) expect(decide("a", "/x", hosts)).toEqual(refused("bad_request"));
  });
});

describe("bodies", () => {
  test.each([
    [["chunked"], PLAIN],
    [["gzip", "chunked"], refused("bad_request")],
    [["chunked", "chunked"], refused("bad_request")],
    [["identity"], refused("bad_request")],
    [[""], refused("bad_request")],
  ])("codings %j", (codings, expected) => {
    expect(route(get("/x"), facts({ codings }), true, ROUTES)).toEqual(expected);
  });

  test("an upgrade may not announce one", () => {
    expect(upgradeTo("/mux", { length: "5" })).toEqual(refused("bad_request"));
    expect(upgradeTo("/hmr", { length: "5" })).toEqual(refused("bad_request"));
    expect(upgradeTo("/mux", { codings: ["chunked"] })).toEqual(refused("bad_request"));
    expect(upgradeTo("/mux", { length: "0" })).toEqual(TO_MUX);
    expect(upgradeTo("/mux", { length: "00" })).toEqual(TO_MUX);
  });
});

describe("origins", () => {
  const open = (
    origin: string | undefined,
    host: string,
    about: { forwardedHost?: string; trusted?: boolean } = {},
  ): boolean => {
    const { forwardedHost, trusted = true } = about;
    const decision = upgradeTo("/mux", { origin, hosts: [host], forwardedHost }, trusted);
    if (decision.to === "refuse") expect(decision.code).toBe("origin_not_allowed");
    return decision.to === "tunnel";
  };

  test.each([
    [undefined, "a.example"],
    ["http://a.example", "a.example"],
    ["https://a.example", "a.example"],
    ["HTTPS://A.Example", "a.eXAMPLE"],
    ["http://a.example", "a.example:80"],
    ["http://a.example:80", "a.example"],
    ["https://a.example", "a.example:443"],
    ["https://a.example:443", "a.example"],
    ["http://a.example:3000", "a.example:3000"],
    ["http://localhost:3000", "localhost:3000"],
    ["http://[::1]:3000", "[::1]:3000"],
    ["http://[::1]", "[::1]:80"],
    ["https://[::1]", "[::1]"],
    ["http://localhost", "localhost"],
    ["http://dash.localhost:3000", "dash.localhost:3000"],
    ["http://192.0.2.7:3000", "192.0.2.7:3000"],
    ["http://x.below.example", "x.below.example"],
    ["https://allowed.example:8443", "a.example"],
    ["HTTPS://ALLOWED.example:8443", "a.example"],
  ])("%s may open a mux on %s", (origin, host) => expect(open(origin, host)).toBe(true));

  test.each([
    ["null", "a.example"],
    ["", "a.example"],
    ["http://evil.example", "a.example"],
    ["http://a.example.evil", "a.example"],
    ["http://evila.example", "a.example"],
    ["http://sub.a.example", "a.example"],
    ["http://a.example:3001", "a.example:3000"],
    ["http://a.example", "a.example:3000"],
    ["http://a.example:3000", "a.example"],
    ["https://a.example", "a.example:80"],
    ["http://a.example", "a.example:443"],
    ["http://127.0.0.1:3000", "localhost:3000"],
    ["http://[::1]:3000", "[::2]:3000"],
    ["ftp://a.example", "a.example"],
    ["file://", "a.example"],
    ["chrome-extension://a.example", "a.example"],
    ["a.example", "a.example"],
    ["http://a.example/", "a.example"],
    ["http://x@a.example", "a.example"],
    ["http://a.example http://evil.example", "a.example"],
    ["http://", ""],
    ["https://allowed.example", "a.example"],
    ["http://allowed.example:8443", "a.example"],
  ])("%s may not open a mux on %s", (origin, host) => expect(open(origin, host)).toBe(false));

  test("X-Forwarded-Host counts when the peer is trusted", () => {
    const forwardedHost = "a.example";
    expect(open("https://a.example", "127.0.0.1:3000", { forwardedHost })).toBe(true);
    expect(open("https://a.example", "127.0.0.1:3000", { forwardedHost, trusted: false })).toBe(false);
    expect(open("http://127.0.0.1:3000", "127.0.0.1:3000", { forwardedHost, trusted: false })).toBe(true);
    expect(open("http://evil.example", "127.0.0.1:3000", { forwardedHost })).toBe(false);
  });

  test("`*` allows all, on every mux path", () => {
    const routes = { ...ROUTES, allowOrigin: new Set(["*"]) };
    for (const origin of ["null", "http://evil.example"])
      expect(upgradeTo("/mux", { origin }, false, routes)).toEqual(TO_MUX);
  });

  test("only a mux asks for it", () => {
    expect(upgradeTo("/_next/webpack-hmr", { origin: "http://evil.example" })).toEqual(TO_HTTP);
    expect(upgradeTo("/term", { origin: "http://evil.example" })).toEqual(refused("origin_not_allowed"));
    expect(route(get("/mux"), facts({ origin: "http://evil.example" }), true, ROUTES)).toEqual(PLAIN);
  });
});

describe("hosts by which a page may open a mux", () => {
  const open = (host: string, about: Partial<Facts> = {}, trusted = true, routes = ROUTES): Decision =>
    upgradeTo("/mux", { hosts: [host], origin: `http://${host}`, ...about }, trusted, routes);
  const REFUSED = refused("host_not_allowed");

  test.each([
    "evil.example:3000",
    "localhost.evil.example",
    "evillocalhost",
    "below.example",
    "a.example.evil",
    "x%41",
  ])("%s is a name that anybody may have pointed here", (host) => expect(open(host)).toEqual(REFUSED));

  test("no page, no question: without an Origin it is no browser", () => {
    expect(open("evil.example", { origin: undefined })).toEqual(TO_MUX);
  });

  test("a front that is trusted and forwards vouches for it; no other peer can", () => {
    expect(open("evil.example", { forwarded: true })).toEqual(TO_MUX);
    expect(open("evil.example", { forwarded: true }, false)).toEqual(REFUSED);
  });

  test("a page that may open it by its own name needs no host", () => {
    const listed = { origin: "https://allowed.example:8443" };
    expect(open("evil.example", listed)).toEqual(TO_MUX);
    expect(open("evil.example", {}, true, { ...ROUTES, allowOrigin: new Set(["*"]) })).toEqual(TO_MUX);
  });

  test("`*` allows every host, and still no other origin", () => {
    const routes = { ...ROUTES, allowHost: new Set(["*"]) };
    expect(open("evil.example", {}, true, routes)).toEqual(TO_MUX);
    expect(open("a", { origin: "http://b" }, true, routes)).toEqual(refused("origin_not_allowed"));
  });

  test("the refusal says what was seen, what was expected and what lets it in", () => {
    expect(open("Evil.example:3000")).toEqual({
      to: "refuse",
      code: "host_not_allowed",
      why: {
        seen: "host Evil.example:3000",
        expected: "localhost, an IP address, the host of --host or --admin, or one of --allow-host",
        option: "--allow-host evil.example",
      },
    });
    expect(open("a.example", { origin: "https://evil.example" })).toEqual({
      to: "refuse",
      code: "origin_not_allowed",
      why: {
        seen: "origin https://evil.example",
        expected: "a page of a.example",
        option: "--allow-origin https://evil.example",
      },
    });
    const shell = open("a.example", { origin: "https://x/$(id);'" });
    expect(shell).toMatchObject({ why: { option: "--allow-origin" } });
    expect(open("a.example", { origin: "x".repeat(30_000) })).toMatchObject({ why: { option: "--allow-origin" } });
    expect(JSON.stringify(open("a.example", { origin: "x".repeat(30_000) })).length).toBeLessThan(500);
  });
});

describe("an http upstream at the address of a mux", () => {
  const routes = { ...ROUTES, httpIsMux: true };
  test.each(["/%6dux", "/x/../mux", "/mux/", "/", "//mux", "/_next/webpack-hmr"])("%s is checked like a mux", (url) => {
    expect(upgradeTo(url, { origin: "http://evil.example" }, true, routes)).toEqual(refused("origin_not_allowed"));
    const rebound = { hosts: ["evil.example"], origin: "http://evil.example" };
    expect(upgradeTo(url, rebound, true, routes)).toEqual(refused("host_not_allowed"));
    expect(upgradeTo(url, { origin: "http://a.example" }, true, routes)).toEqual(TO_HTTP);
    expect(upgradeTo(url, { origin: "http://evil.example" })).toEqual(TO_HTTP);
  });
});
