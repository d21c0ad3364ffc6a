// Any bytes on the public port. What reaches the upstream has to be strictly HTTP (no smuggling), what the client gets
// has to be strictly HTTP too, nobody waits for ever, and it does not matter how the bytes are cut.

import fc from "fast-check";
import { expect, test } from "vitest";
import { dial, upgrade } from "../kit/client.ts";
import type { TestDaemon } from "../kit/daemon.ts";
import { anyBytes, cutAt, mangled, messagesOf, oddBytes, patience, places, sendPieces, tryOut } from "../kit/fuzz.ts";
import { forFile } from "../kit/lifetime.ts";
import { parseResponse } from "../kit/messages.ts";
import { expectUnharmed, recorded } from "../kit/recording.ts";
import { within } from "../kit/until.ts";

/** Every limit of time is short, so whoever hangs is found soon. */
const LIMITS = [
  "headers-timeout",
  "request-timeout",
  "body-timeout",
  "handshake-timeout",
  "client-keep-alive",
  "response-timeout",
];
const stage = forFile(() => recorded(undefined, ...LIMITS.flatMap((name) => [`--${name}`, "500ms"])));

const line = fc.constantFrom(
  "GET / HTTP/1.1",
  "POST /a?b HTTP/1.1",
  "GET http://b/c HTTP/1.0",
  "OPTIONS * HTTP/1.1",
  "CONNECT a:1 HTTP/1.1",
  "DELETE //x HTTP/1.1",
  "GET HTTPS://b?c HTTP/1.1",
  "OPTIONS http://b HTTP/1.1",
  "GET http://u:p@b/c HTTP/1.1",
  "GET * HTTP/1.1",
  "GET /a#b HTTP/1.1",
  "TRACE /x HTTP/1.1",
);
const field = fc.constantFrom(
  "Host: a",
  "Content-Length: 3",
  "Content-Length: 0",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: gzip, chunked",
  "Connection: close",
  "Connection: keep-alive, x",
  "Connection: upgrade",
  "Upgrade: websocket",
  "Upgrade: h2c",
  "Expect: 100-continue",
  "TE: trailers",
  "Trailer: x",
  "X: y",
  "X:",
  "Cookie: a=b",
  " folded",
  "Via: 1.1 x",
  "Origin: http://a",
  "Max-Forwards: 0",
  "Max-Forwards: 1",
  "X_Forwarded_For: 1",
  "Transfer_Encoding: chunked",
);
const body = fc.constantFrom(
  "",
  "abc",
  "3\r\nabc\r\n0\r\n\r\n",
  "0\r\n\r\n",
  "3;x=y\r\nabc\r\n0\r\nx: y\r\n\r\n",
  "ffffffffffffffff\r\n",
);
const message = messagesOf(line, { always: ["Host: a"], field, most: 5 }, body);
const odd = oddBytes("HTTP/1.1");
const messages = fc.array(message, { minLength: 1, maxLength: 3 }).map((all) => all.join(""));
const request = fc.oneof(
  { weight: 2, arbitrary: messages },
  { weight: 5, arbitrary: mangled(messages, odd, 1) },
  { weight: 2, arbitrary: mangled(messages, odd) },
  { weight: 2, arbitrary: mangled(fc.constant(upgrade()), odd, 2) },
  { weight: 1, arbitrary: anyBytes },
);

/** The answers that came, in order: status and what makes them comparable; what is none is said, too. */
function answersIn(received: string): string[] {
  const answers: string[] = [];
  for (let rest = received; rest !== "";) {
    const answer = parseResponse(rest, "GET", true);
    if (!answer) return [...answers, `no answer: ${JSON.stringify(rest.slice(0, 200))}`];
    for (const [name, value] of answer.fields) {
      expect(name).toMatch(/^[!#$%&'*+\-.^_`|~\w]+$/);
      expect(value).not.toMatch(/[\r\n\0]/);
    }
    // An answer of the proxy's own has an id that no other has.
    answers.push(`${answer.status} ${answer.field("x-single-port-error") ?? answer.body}`);
    rest = rest.slice(answer.raw.length);
  }
  return answers;
}

/** Sends it in pieces; resolves with the answers, once the proxy has ended the connection. */
async function exchange(daemon: TestDaemon, pieces: Buffer[]): Promise<string[]> {
  const client = await dial(daemon.port);
  client.socket.setNoDelay(true);
  await sendPieces(client.socket, pieces);
  // Whoever has its answers and says no more is ended when its time is over.
  await within(client.ended, `the end of ${JSON.stringify(Buffer.concat(pieces).toString("latin1"))}`, 10_000);
  client.reset();
  return answersIn(client.received());
}

const AT_ONCE = 30;

test(
  "any bytes: strictly HTTP at both ends, an outcome, and the same however they are cut",
  { timeout: patience(2) },
  async () => {
    const { daemon, upstream } = stage();
    const cases = fc.array(fc.tuple(request, places), { minLength: 1, maxLength: AT_ONCE, size: "max" });
    await tryOut(
      fc.asyncProperty(cases, async (all) => {
        const played = all.map(async ([text, cuts]) => {
          const bytes = Buffer.from(text, "latin1");
          const [whole, cut] = await Promise.all([exchange(daemon, [bytes]), exchange(daemon, cutAt(bytes, cuts))]);
          expect(cut, JSON.stringify(text)).toEqual(whole);
        });
        await Promise.all(played);
        // Its parser throws if one byte of all was not strictly HTTP.
        upstream.seen();
      }),
    );
    await expectUnharmed(daemon);
  },
);
