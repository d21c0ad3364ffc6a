// OPTIONS and TRACE with Max-Forwards: how far they go, and who answers them (RFC 9110 7.6.2).

import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { ask, nextResponse } from "../kit/messages.ts";
import { expectUnharmed, recorded } from "../kit/recording.ts";
import { valuesOf } from "../kit/strict.ts";

test.each(["OPTIONS", "TRACE"])("%s is counted down, and goes no further than it may", async (method) => {
  const { daemon, upstream } = await recorded();
  const became = async (...fields: string[]): Promise<number | string[]> => {
    const before = upstream.seen().length;
    const { status } = await ask(daemon.port, head(`${method} /x HTTP/1.1`, "Host: a", ...fields));
    const [request] = upstream.seen().slice(before);
    return request ? valuesOf(request.fields, "max-forwards") : status;
  };
  expect(await became()).toEqual([]);
  expect(await became("Max-Forwards: 1")).toEqual(["0"]);
  expect(await became("max-forwards: 010")).toEqual(["9"]);
  expect(await became("Max-Forwards: 5", "Connection: Max-Forwards, close")).toEqual(["4"]);
  expect(await became(`Max-Forwards: ${"9".repeat(30)}`)).toEqual(["999999"]);
  for (const value of ["", "-1", "1.5", "0x1", "1\xa0", "one", "1, 1"]) {
    expect(await became(`Max-Forwards: ${value}`), value).toBe(400);
  }
  expect(await became("Max-Forwards: 1", "Max-Forwards: 1")).toBe(400);
  expect(await became("Max-Forwards: 0")).toBe(200);
});

test("other methods have no such limit", async () => {
  const { daemon, upstream } = await recorded();
  await ask(daemon.port, head("GET /x HTTP/1.1", "Host: a", "Max-Forwards: 0"));
  expect(valuesOf(upstream.seen()[0]?.fields ?? [], "max-forwards")).toEqual(["0"]);
});

test("OPTIONS that stops here is told what is allowed, and its connection goes on", async () => {
  const { daemon, upstream } = await recorded();
  const client = await dial(daemon.port);
  client.send(head("OPTIONS * HTTP/1.1", "Host: a", "Max-Forwards: 0", "Content-Length: 4") + "body");
  client.send(head("GET /next HTTP/1.1", "Host: a", "Connection: close"));
  const answer = await nextResponse(client);
  expect([answer.status, answer.body, answer.field("allow")]).toEqual([200, "", expect.stringContaining("OPTIONS")]);
  await client.readUntil("GET /next\n");
  expect(upstream.seen().map(({ target }) => target)).toEqual(["/next"]);
  const line = await daemon.logged(({ method }) => method === "OPTIONS", "the answer");
  expect(line).toMatchObject({ status: 200, by: "proxy", how: "done", path: "*" });
});

test("TRACE that stops here is sent back, without what a page's script must not read", async () => {
  const { daemon, upstream } = await recorded();
  const secret = ["Cookie: a=secret", "Authorization: Basic secret", "Proxy-Authorization: secret"];
  const fields = ["Host: a", "Max-Forwards: 0", "X-Odd: \xe9", ...secret, "CF-Access-Jwt-Assertion: secret"];
  const answer = await ask(daemon.port, head("TRACE /x?y HTTP/1.1", ...fields));
  expect(answer.status).toBe(200);
  expect(answer.field("content-type")).toBe("message/http");
  expect(answer.body).toBe(head("TRACE /x?y HTTP/1.1", "Host: a", "Max-Forwards: 0", "X-Odd: \xe9"));
  expect(upstream.seen()).toEqual([]);
  await expectUnharmed(daemon);
});
