// Our parser of responses, fed with any bytes: it says the same however they are cut, and what it takes for a response
// node's parser takes for the same one. Ours may be stricter, never another reader.

import { request, type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { dataInWholeChunks } from "../../src/http/chunk-line.ts";
import { ResponseParser } from "../../src/http/response-parser.ts";
import { anyBytes, cutAt, mangled, patience, places, tryOut } from "../kit/fuzz.ts";
import { within } from "../kit/until.ts";

/** What a parser understood. */
interface Understood {
  /** Interim heads, the head, trailers, and how it ended, in order. */
  events: string[];
  body: string;
  accepted: boolean;
}

const MAX_HEAD = 16 * 1024;

function readOurs(
  pieces: Buffer[],
  method: string,
  close: boolean,
): Understood & { reusable: boolean; surplus: boolean; isAtChunk: boolean } {
  const events: string[] = [];
  let body = "";
  const parser = new ResponseParser(
    {
      onInterim: ({ status }) => events.push(`interim ${status}`),
      onHead: ({ status, reason, fields }) => events.push(`head ${status} ${reason} ${fields.join("|")}`),
      onBody: (piece) => (body += piece.toString("latin1")),
      onComplete: (last, trailers) => {
        body += last?.toString("latin1") ?? "";
        events.push(`end ${trailers.join("|")}`);
      },
      onSwitched: (_head, early) => {
        events.push("switched");
        body += early.toString("latin1");
      },
    },
    method,
    MAX_HEAD,
  );
  let accepted = true;
  for (const piece of pieces) {
    // It is only lent.
    const lent = Buffer.from(piece);
    accepted &&= parser.push(lent);
    lent.fill(0);
  }
  if (close && accepted) parser.finish();
  const { isReusable: reusable, surplus, isAtChunk } = parser;
  return { events, body, accepted, reusable, surplus, isAtChunk };
}

const line = fc.constantFrom(
  "HTTP/1.1 200 OK",
  "HTTP/1.1 200 OK",
  "HTTP/1.1 204 No Content",
  "HTTP/1.1 304 Not Modified",
  "HTTP/1.0 200 OK",
  "HTTP/1.1 404",
  "HTTP/1.1 999 what",
  "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK",
  "\r\nHTTP/1.1 200 OK",
  "HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 200 OK",
);
const field = fc.constantFrom(
  "Content-Length: 3",
  "Content-Length: 0",
  "content-length:  3 ",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: Chunked",
  "Transfer-Encoding: gzip",
  "Connection: close",
  "Connection: keep-alive",
  "Keep-Alive: timeout=5",
  "Set-Cookie: a=b",
  "X: \xe9\t!",
  "X : \xe0\xa0",
  "X:",
  "Trailer: x",
);
/** How a three may be written, and how it may not. */
const three = fc.constantFrom(
  "3",
  "3",
  "3",
  "03",
  "000000000003",
  " 3",
  "3 ",
  "+3",
  "-3",
  "3+",
  "0x3",
  "3;",
  "3;a=b",
  "3 ;a",
  "3  ",
  "3 3",
  "3,",
  "3\t",
  "3;\n",
);
const chunks = fc
  .tuple(three, three, fc.constantFrom("0\r\n\r\n", "0\r\nx: y\r\n\r\n", "00\r\n\r\n", "0 \r\n\r\n", "0\r\n", ""))
  .map(([one, two, end]) => `${one}\r\nabc\r\n${two}\r\ndef\r\n${end}`);
const plainBody = fc.constantFrom(
  "",
  "abc",
  "abcdef",
  "3\r\nabc\r\n0\r\n\r\n",
  '03\r\nabc\r\nA;x="y"\r\n0123456789\r\n0\r\nx: y\r\n\r\n',
  "3\r\nabc\r\n",
  "0\r\n\r\n",
);
const body = fc.oneof(plainBody, chunks);
const length = three.map((text) => `Content-Length: ${text}`);
const anyField = fc.oneof({ weight: 5, arbitrary: field }, { weight: 1, arbitrary: length });
const message = fc
  .tuple(line, fc.array(anyField, { maxLength: 3 }), body)
  .map(([first, fields, rest]) => [first, ...fields, "", rest].join("\r\n"));
const odd = fc.oneof(
  anyBytes,
  fc.constantFrom(
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    "\0",
    ",",
    ";",
    "0",
    "f",
    "-",
    "+",
    "_",
    "x",
    "\r\n\r\n",
    "\r\n ",
  ),
);
const response = fc.oneof(
  { weight: 2, arbitrary: message },
  { weight: 5, arbitrary: mangled(message, odd, 1) },
  { weight: 2, arbitrary: mangled(message, odd) },
  { weight: 1, arbitrary: anyBytes },
);
const method = fc.constantFrom("GET", "GET", "HEAD");

test("any bytes mean the same however they are cut", { timeout: patience() }, async () => {
  await tryOut(
    fc.property(response, places, method, fc.boolean(), (text, cuts, asked, close) => {
      const bytes = Buffer.from(text, "latin1");
      const whole = readOurs([bytes], asked, close);
      for (const pieces of [cutAt(bytes, cuts), [...bytes].map((byte) => Buffer.from([byte]))]) {
        const cut = readOurs(pieces, asked, close);
        // Of what is no response more or less may have been handed on by then.
        if (whole.accepted) expect(cut).toEqual(whole);
        else expect(cut.accepted).toBe(false);
      }
    }),
  );
});

const size = fc.nat({ max: 300 }).map((bytes) => `${bytes.toString(16)}\r\n${"d".repeat(bytes)}\r\n`);
const sizes = fc.array(fc.oneof(size, chunks), { maxLength: 4 }).map((some) => some.join(""));
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

test("bytes taken for whole chunks at a glance are just those, byte by byte", { timeout: patience() }, async () => {
  let taken = 0;
  await tryOut(
    fc.property(fc.oneof(sizes, mangled(sizes, odd, 1), anyBytes), (text) => {
      const bytes = Buffer.from(text, "latin1");
      const data = dataInWholeChunks(bytes);
      const { body, accepted, isAtChunk } = readOurs([Buffer.from(CHUNKED), bytes], "GET", false);
      const isWhole = accepted && isAtChunk;
      if (data >= 0) expect([isWhole, body.length]).toEqual([true, data]);
      else expect(isWhole && !/[; \t]/.test(text)).toBe(false);
      taken += data > 0 ? 1 : 0;
    }),
  );
  expect(taken).toBeGreaterThan(0);
});

/** What node's client makes of these bytes, followed by a FIN; undefined when it finds fault with them. */
async function readNodes(bytes: Buffer, asked: string): Promise<Understood | undefined> {
  const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  const events: string[] = [];
  return await within(
    new Promise<Understood | undefined>((resolve) => {
      const req = request({
        method: asked,
        createConnection: () => socket,
        maxHeaderSize: MAX_HEAD,
        joinDuplicateHeaders: false,
      });
      req.on("error", () => resolve(undefined));
      req.on("information", ({ statusCode }) => events.push(`interim ${statusCode}`));
      req.on("upgrade", () => resolve(undefined));
      req.on("response", (res: IncomingMessage) => {
        let text = "";
        events.push(`head ${res.statusCode} ${res.statusMessage}`);
        res.setEncoding("latin1").on("data", (more: string) => (text += more));
        res.on("error", () => resolve(undefined));
        res.on("end", () =>
          resolve({ events: [...events, `end ${res.rawTrailers.join("|")}`], body: text, accepted: true }),
        );
      });
      req.on("socket", () =>
        setImmediate(() => {
          socket.push(bytes);
          socket.push(null);
        }),
      );
      req.end();
    }),
    `node to read ${JSON.stringify(bytes.toString("latin1"))}`,
  );
}

test("what it takes for a complete response, node takes for the same", { timeout: patience() }, async () => {
  await tryOut(
    fc.asyncProperty(response, method, async (text, asked) => {
      const bytes = Buffer.from(text, "latin1");
      const ours = readOurs([bytes], asked, true);
      if (!ours.accepted || !ours.events.some((event) => event.startsWith("end")) || ours.surplus) return;
      const nodes = await readNodes(bytes, asked);
      // Where node is the stricter one: extensions of chunks, which are dropped however they look, a tab behind a
      // length, which is white space like any other (RFC 9110 5.6.3), folds of fields that it reads itself, and blanks
      // in front of a colon and behind a chunk's size, which are left out.
      if (!nodes && /;|\t|\r\n | :| \r\n/.test(text)) return;
      expect(nodes, JSON.stringify(text)).toBeDefined();
      const heads = ours.events.map((event) =>
        event.startsWith("head") ? event.split(" ").slice(0, 2).join(" ") : event,
      );
      const nodesHeads = nodes?.events.map((event) =>
        event.startsWith("head") ? event.split(" ").slice(0, 2).join(" ") : event,
      );
      expect({ heads, body: ours.body }, JSON.stringify(text)).toEqual({ heads: nodesHeads, body: nodes?.body });
    }),
  );
});
