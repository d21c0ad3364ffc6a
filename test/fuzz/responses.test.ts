// Any bytes as an upstream's answer: what the client gets is strictly HTTP or cut off, never made whole, and it does
// not matter how the bytes are cut.

import fc from "fast-check";
import { expect, test } from "vitest";
import { dial, head, upgrade } from "../kit/client.ts";
import { faultsIn, startDaemon, type TestDaemon } from "../kit/daemon.ts";
import { anyBytes, cutAt, mangled, messagesOf, oddBytes, patience, places, sendPieces, tryOut } from "../kit/fuzz.ts";
import { forFile } from "../kit/lifetime.ts";
import { parseResponse } from "../kit/messages.ts";
import { rawUpstream } from "../kit/upstream.ts";
import { within } from "../kit/until.ts";

/** What the upstream says to each request, by the number in its query: in these pieces, then FIN. */
const scripts = new Map<string, Buffer[]>();
let scripted = 0;

const LIMITS = ["body-timeout", "handshake-timeout", "response-timeout", "client-keep-alive"];

const stage = forFile(async (): Promise<TestDaemon> => {
  const upstream = await rawUpstream((peer) => {
    peer.socket.setNoDelay(true);
    let text = "";
    const onData = async (chunk: Buffer): Promise<void> => {
      text += chunk.toString("latin1");
      const asked = /\?n=(\d+) [^]*\r\n\r\n/.exec(text)?.[1];
      if (asked === undefined) return;
      text = "";
      await sendPieces(peer.socket, scripts.get(asked) ?? []);
      peer.halfClose();
    };
    peer.socket.on("data", (chunk: Buffer) => void onData(chunk));
  });
  const port = String(upstream.port);
  const limits = LIMITS.flatMap((name) => [`--${name}`, "2s"]);
  return await startDaemon(["--http", port, "--mux", `${port}/mux`, "--recycle", "0", ...limits]);
});

/** Asks for an answer of these pieces; resolves with all that came. */
async function ask(pieces: Buffer[], asks: (target: string) => string): Promise<string> {
  scripted += 1;
  const n = String(scripted);
  scripts.set(n, pieces);
  const client = await dial(stage().port);
  client.send(asks(`?n=${n}`));
  const said = JSON.stringify(Buffer.concat(pieces).toString("latin1"));
  await within(client.ended, `the end of ${said}`, 10_000);
  scripts.delete(n);
  client.reset();
  return client.received();
}

const get = (query: string): string => head(`GET /${query} HTTP/1.1`, "Host: a", "Connection: close");

/** What the client understands: interim answers and a final one, or that it was cut off. */
function understood(received: string): unknown[] {
  const answers: unknown[] = [];
  for (let rest = received; ;) {
    // Nothing ends with the connection: the proxy chunks for a client of HTTP/1.1.
    const answer = parseResponse(rest, "GET", false);
    if (!answer) return [...answers, "cut"];
    for (const [name, value] of answer.fields) {
      expect(name).toMatch(/^[!#$%&'*+\-.^_`|~\w]+$/);
      expect(value).not.toMatch(/[\r\n\0]/);
    }
    expect(answer.all("content-length").length + answer.all("transfer-encoding").length).toBeLessThanOrEqual(1);
    expect(answer.all("transfer-encoding").join()).toMatch(/^(chunked)?$/);
    const { status, reason, body, trailers } = answer;
    const own = answer.field("x-single-port-error");
    const fields = answer.fields.filter(([name]) => name !== "Date");
    answers.push(own === undefined ? { status, reason, fields, body, trailers } : { status, own });
    rest = rest.slice(answer.raw.length);
    if (status === 101) return [...answers, rest];
    if (status < 200) continue;
    // What stands behind it could be taken for another answer.
    expect(rest).toBe("");
    return answers;
  }
}

const line = fc.constantFrom(
  "HTTP/1.1 200 OK",
  "HTTP/1.1 200 OK",
  "HTTP/1.1 204 No Content",
  "HTTP/1.1 304 Not Modified",
  "HTTP/1.1 404 Not Found",
  "HTTP/1.0 200 OK",
  "HTTP/1.1 200",
  "HTTP/1.1 999 what",
  "HTTP/1.1 000 x",
  "HTTP/1.1 101 Switching Protocols",
  "HTTP/2 200 OK",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
  "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK",
);
const field = fc.constantFrom(
  "Content-Length: 3",
  "Content-Length: 0",
  "Content-Length: 3, 3",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: gzip",
  "Connection: close",
  "Connection: keep-alive",
  "Keep-Alive: timeout=5",
  "Trailer: x",
  "Set-Cookie: a=b",
  "X: \xe9",
  "X:",
  " folded",
  "Content-Type: text/event-stream",
  "Upgrade: websocket",
  "Connection: upgrade",
  "Sec-WebSocket-Accept: x",
);
const body = fc.constantFrom(
  "",
  "abc",
  "abcdef",
  "3\r\nabc\r\n0\r\n\r\n",
  "3\r\nabc\r\n3;x\r\ndef\r\n0\r\nx: y\r\n\r\n",
  "3\r\nabc\r\n",
  "zz\r\n",
  "0\r\n\r\n",
);
const message = messagesOf(line, { always: [], field, most: 3 }, body);
const odd = oddBytes("HTTP/1.1 200 OK\r\n\r\n");
/** Many mistakes make an answer none at all, one makes it interesting. */
const response = fc.oneof(
  { weight: 3, arbitrary: message },
  { weight: 5, arbitrary: mangled(message, odd, 1) },
  { weight: 1, arbitrary: mangled(message, odd) },
  { weight: 1, arbitrary: anyBytes },
);
const frames = fc.constantFrom("", "\x81\x02hi", "\x88\x02\x03\xe8", "\x81\x05hi", "\x82\x7e\x00\x03abc", "\x0f\x0f");
const switching = fc
  .tuple(fc.array(field, { maxLength: 2 }), frames, anyBytes)
  .map(([fields, frame, rest]) =>
    ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", ...fields, "", frame + rest].join(
      "\r\n",
    ),
  );
const answerToUpgrade = fc.oneof(
  { weight: 3, arbitrary: switching },
  { weight: 3, arbitrary: mangled(switching, odd, 1) },
  { weight: 2, arbitrary: response },
);
const AT_ONCE = 30;

/** Fails unless each of these answers means the same in one piece and in several. */
async function tryAll(said: fc.Arbitrary<string>, asks: (query: string) => string): Promise<void> {
  const cases = fc.array(fc.tuple(said, places), { minLength: 1, maxLength: AT_ONCE, size: "max" });
  await tryOut(
    fc.asyncProperty(cases, async (all) => {
      const played = all.map(async ([text, cuts]) => {
        const bytes = Buffer.from(text, "latin1");
        const [whole, cut] = await Promise.all([ask([bytes], asks), ask(cutAt(bytes, cuts), asks)]);
        expect(understood(cut), JSON.stringify(text)).toEqual(understood(whole));
      });
      await Promise.all(played);
    }),
  );
  expect(stage().child.exitCode).toBeNull();
  expect(stage().stderr()).toBe("");
  expect(faultsIn(stage().log)).toEqual([]);
}

test("any bytes as an answer to a request", { timeout: patience() }, () => tryAll(response, get));

test("any bytes as an answer to an upgrade", { timeout: patience() }, () =>
  tryAll(answerToUpgrade, (query) => upgrade(`/mux${query}`)),
);

test(
  "an answer that is HTTP arrives as it was said, however it is framed and cut",
  { timeout: patience() },
  async () => {
    const framing = fc.constantFrom("length", "chunks", "close");
    const answer = fc.tuple(
      fc.constantFrom(200, 201, 404, 500),
      fc.array(fc.string({ unit: "binary-ascii", maxLength: 300 }), { maxLength: 5 }),
      framing,
      places,
    );
    await tryOut(
      fc.asyncProperty(fc.array(answer, { minLength: 1, maxLength: AT_ONCE, size: "max" }), async (all) => {
        await Promise.all(
          all.map(async ([status, parts, how, cuts]) => {
            const whole = parts.join("");
            const framed = parts
              .filter((part) => part !== "")
              .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);
            const fields = {
              length: [`Content-Length: ${whole.length}`],
              chunks: ["Transfer-Encoding: chunked"],
              close: [],
            }[how];
            const said = `HTTP/1.1 ${status} Fine\r\n${fields.map((one) => `${one}\r\n`).join("")}\r\n`;
            const bytes = said + (how === "chunks" ? `${framed.join("")}0\r\n\r\n` : whole);
            const [got] = understood(await ask(cutAt(Buffer.from(bytes, "latin1"), cuts), get));
            expect(got).toMatchObject({ status, reason: "Fine", body: whole });
          }),
        );
      }),
    );
  },
);
