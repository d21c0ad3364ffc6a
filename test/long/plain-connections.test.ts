import { expect, test } from "vitest";
import { dial, head } from "../kit/client.ts";
import { startDaemon } from "../kit/daemon.ts";
import { ask, endOf, nextResponse } from "../kit/messages.ts";
import { httpUpstream, rawUpstream } from "../kit/upstream.ts";
import { statuses } from "../kit/recording.ts";
import { until, within } from "../kit/until.ts";

test("fifty pipelined requests are answered in order, however long each takes", async () => {
  const waiting: (() => void)[] = [];
  const web = await httpUpstream((req, res) => {
    const n = Number(req.url?.slice(1));
    // Every third answer waits until it is told, and those with a body in pieces end later than they begin.
    if (n % 3 === 0) waiting.push(() => res.end(`answer ${n}`));
    else if (n % 3 === 1) res.end(`answer ${n}`);
    else res.write("answer ", () => setImmediate(() => res.end(String(n))));
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(Array.from({ length: 50 }, (_, n) => head(`GET /${n} HTTP/1.1`, "Host: a")).join(""));
  for (let n = 0; n < 50; n += 1) {
    if (n % 3 === 0) (await until(() => waiting.shift(), `request ${n} at the upstream`))();
    expect((await nextResponse(client)).body).toBe(`answer ${n}`);
  }
});

test("who pipelines on and on is not read from until there are answers, and then gets all of them", async () => {
  const many = 300;
  let answer: (() => void) | undefined;
  const web = await httpUpstream((_req, res) => {
    if (answer) return void res.writeHead(204).end();
    return void (answer = () => res.writeHead(204).end());
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  client.send(head("GET / HTTP/1.1", "Host: a", `X-Long: ${"x".repeat(1400)}`).repeat(many));
  const { localPort = 0 } = client.socket;
  await until(() => answer && daemon.unread(localPort) > 0, "bytes that are left to the kernel");
  answer?.();
  const last = head("GET /last HTTP/1.1", "Host: a", "Connection: close");
  client.send(last);
  await within(client.ended, "the last answer", 15_000);
  expect(statuses(client.received())).toEqual(Array.from({ length: many + 1 }, () => 204));
});

test("fifty pipelined uploads keep their bodies apart", async () => {
  const web = await httpUpstream((req, res) => {
    let body = "";
    req.setEncoding("latin1").on("data", (text: string) => (body += text));
    req.on("end", () => res.end(`${req.url}:${body}`));
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const client = await dial(daemon.port);
  const requests = Array.from({ length: 50 }, (_, n) => {
    const body = String(n).repeat(n);
    return n % 2 === 0
      ? `${head(`PUT /${n} HTTP/1.1`, "Host: a", `Content-Length: ${body.length}`)}${body}`
      : `${head(`PUT /${n} HTTP/1.1`, "Host: a", "Transfer-Encoding: chunked")}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  });
  client.send(requests.join(""));
  for (let n = 0; n < 50; n += 1) expect((await nextResponse(client)).body).toBe(`/${n}:${String(n).repeat(n)}`);
});

test("what is pipelined behind a request that is no HTTP waits for the answer, then gets 400", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  client.send(`${head("GET / HTTP/1.1", "Host: a")}NONSENSE\r\n\r\n`);
  const peer = await up.next();
  await peer.readUntil("\r\n\r\n");
  peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 2")}ok`);
  expect((await nextResponse(client)).body).toBe("ok");
  expect((await nextResponse(client)).status).toBe(400);
  expect(await endOf(client)).toBe("fin");
});

test("requests one after another use one connection to the upstream", async () => {
  const ports: (number | undefined)[] = [];
  const web = await httpUpstream((req, res) => {
    ports.push(req.socket.remotePort);
    res.end("ok");
  });
  const daemon = await startDaemon(["--http", String(web.port), "--recycle", "60s"]);
  for (const method of ["GET", "OPTIONS", "PUT", "DELETE", "GET"]) {
    await ask(daemon.port, head(`${method} / HTTP/1.1`, "Host: a"));
  }
  expect(ports).toEqual(Array.from({ length: 5 }, () => ports[0]));
});

test("without a promise of Keep-Alive a POST or PATCH gets a connection of its own, which the next GET may use", async () => {
  const ports: (number | undefined)[] = [];
  const web = await httpUpstream((req, res) => {
    ports.push(req.socket.remotePort);
    // Node adds a Keep-Alive field only to responses that have no Connection field of their own.
    res.setHeader("Connection", "keep-alive").end("ok");
  });
  const daemon = await startDaemon(["--http", String(web.port), "--recycle", "60s"]);
  for (const method of ["GET", "POST", "PATCH", "GET"]) {
    await ask(daemon.port, head(`${method} / HTTP/1.1`, "Host: a", "Content-Length: 0"));
  }
  expect(new Set(ports.slice(0, 3)).size).toBe(3);
  expect(ports[3]).toBe(ports[2]);
});

test("a POST with an Idempotency-Key may use a pooled connection", async () => {
  const ports = new Set<number | undefined>();
  const web = await httpUpstream((req, res) => {
    ports.add(req.socket.remotePort);
    res.end("ok");
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"));
  await ask(daemon.port, head("POST / HTTP/1.1", "Host: a", "Idempotency-Key: k", "Content-Length: 0"));
  expect(ports.size).toBe(1);
});

test("an upstream connection idle for longer than --recycle is closed", async () => {
  const up = await rawUpstream((peer) => {
    void peer.readUntil("\r\n\r\n").then(() => peer.send(head("HTTP/1.1 200 OK", "Content-Length: 0")));
  });
  const daemon = await startDaemon(["--http", String(up.port), "--recycle", "200ms"]);
  await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"));
  expect(await endOf(up.accepted[0]!)).toBe("fin");
});

test("a shorter Keep-Alive hint of the upstream wins over --recycle", async () => {
  const up = await rawUpstream((peer) => {
    void peer
      .readUntil("\r\n\r\n")
      .then(() => peer.send(head("HTTP/1.1 200 OK", "Keep-Alive: timeout=1, max=5", "Content-Length: 0")));
  });
  const daemon = await startDaemon(["--http", String(up.port), "--recycle", "1h"]);
  await ask(daemon.port, head("GET / HTTP/1.1", "Host: a"));
  expect(await endOf(up.accepted[0]!)).toBe("fin");
});

test("a connection the upstream closes is not used again, nor one on which unasked bytes came", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  const answer = async (tail: string): Promise<void> => {
    client.send(head("GET / HTTP/1.1", "Host: a"));
    const peer = await up.next();
    await peer.readUntil("\r\n\r\n");
    peer.send(head("HTTP/1.1 200 OK", ...(tail === "close" ? ["Connection: close"] : []), "Content-Length: 0"));
    await nextResponse(client);
    if (tail === "bytes") {
      peer.send(`${head("HTTP/1.1 200 OK", "Content-Length: 6")}poison`);
      await endOf(peer);
    }
  };
  await answer("close");
  await answer("bytes");
  await answer("");
  expect(client.received()).not.toContain("poison");
  expect(up.accepted).toHaveLength(3);
});

test("what follows a request that is kept until its turn is not lost when the body before it is done", async () => {
  const up = await rawUpstream();
  const daemon = await startDaemon(["--http", String(up.port)]);
  const client = await dial(daemon.port);
  const put = (path: string, body: string): string =>
    `${head(`PUT ${path} HTTP/1.1`, "Host: a", `Content-Length: ${body.length}`)}${body}`;
  const body = "b".repeat(300_000);
  client.send(`${put("/1", "a".repeat(200))}${put("/2", body).slice(0, 1000)}`);
  const first = await up.next();
  await first.readUntil("a".repeat(200));
  client.send(put("/2", body).slice(1000));
  client.send(put("/3", "c"));
  await until(() => daemon.unread(client.socket.localPort ?? 0) > 0, "bytes that are left to the kernel");
  // A failure drops what is left of its body, of which there is nothing.
  first.reset();
  up.script = (peer) =>
    void peer.socket.on("data", () => {
      if (peer.received().endsWith("aa")) peer.reset();
      if (peer.received().endsWith(body) || peer.received().endsWith("\r\n\r\nc")) {
        peer.send(head("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"));
        peer.halfClose();
      }
    });
  for (const status of [502, 200, 200]) expect((await nextResponse(client, "PUT")).status).toBe(status);
});
