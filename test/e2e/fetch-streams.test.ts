// Event streams that a page reads by fetch, as answers of language models are: an EventSource cannot POST.

import type { ServerResponse } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { startDaemon } from "../kit/daemon.ts";
import { until } from "../kit/until.ts";
import { httpUpstream } from "../kit/upstream.ts";

interface Stream {
  /** The server's side. */
  out: ServerResponse;
  /** The next piece that comes, as text; undefined at a proper end. */
  next: () => Promise<string | undefined>;
  leave: AbortController;
}

/** POSTs a question; resolves when the head of its answer has come. */
async function asks(question: string): Promise<Stream> {
  let out: ServerResponse | undefined;
  let asked = "";
  const web = await httpUpstream((req, res) => {
    req.setEncoding("utf8").on("data", (text: string) => (asked += text));
    req.on("end", () => {
      out = res.writeHead(200, { "Content-Type": "text/event-stream" });
      res.flushHeaders();
    });
  });
  const daemon = await startDaemon(["--http", String(web.port)]);
  const leave = new AbortController();
  onTestFinished(() => leave.abort());
  const accept = { Accept: "text/event-stream" };
  const url = `http://127.0.0.1:${daemon.port}/chat`;
  const answer = await fetch(url, { method: "POST", body: question, headers: accept, signal: leave.signal });
  expect([answer.status, answer.headers.get("content-type"), asked]).toEqual([200, "text/event-stream", question]);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  return { out: out as unknown as ServerResponse, next: async () => (await reader.read()).value, leave };
}

test("each event comes when it was sent, and the end is an end", async () => {
  const { out, next } = await asks("why?");
  for (const word of ["because", "of", "reasons"]) {
    out.write(`data: ${word}\n\n`);
    expect(await next()).toBe(`data: ${word}\n\n`);
  }
  out.end();
  expect(await next()).toBeUndefined();
});

test("a server that dies in the middle is an error, and no end", async () => {
  const { out, next } = await asks("why?");
  out.write("data: because\n\n");
  expect(await next()).toBe("data: because\n\n");
  out.destroy();
  await expect(next()).rejects.toThrow("terminated");
});

test("a page that aborts stops the server at once", async () => {
  const { out, next, leave } = await asks("why?");
  out.write("data: because\n\n");
  expect(await next()).toBe("data: because\n\n");
  leave.abort();
  await until(() => out.destroyed, "the server to notice");
  expect(out.writableFinished).toBe(false);
});
