// The bytes of a schedule: requests and answers as they are sent, and what has to arrive of them. Pure.
// Every byte of a body tells its exchange and its offset, so that bytes of another exchange are noticed.

import type { AnswerSpec, ClientSpec, ExchangeSpec, RequestSpec } from "./schedule.ts";

/** Bytes of a message, as latin1 text: a character is a byte. */
export interface Rendered {
  text: string;
  /** Where the head ends. */
  headEnd: number;
  /** The body, without framing. */
  body: string;
}

/** An answer's bytes, and which part of them is valid. */
export interface RenderedAnswer extends Rendered {
  /** How much of it has to be sent for the answer to be whole; Infinity when it can never be. */
  wholeAt: number;
  /** Does only the end of the connection complete it? */
  untilClose: boolean;
  /** May another request follow on its connection? */
  reusable: boolean;
}

/** Bodies above are made of longer pieces. */
const LARGE = 30_000;

/** A body of this size, in which every part tells its exchange and its offset. */
export function bodyOf(owner: string, size: number): string {
  let body = "";
  const filler = size > LARGE ? "-".repeat(200) : "";
  for (let at = 0; body.length < size; at += 1) body += `<${owner}@${at}>${filler}`;
  return body.slice(0, size);
}

function chunked(body: string, pieces: number, trailers: string): string {
  let text = "";
  const size = Math.max(1, Math.ceil(body.length / pieces));
  for (let at = 0; at < body.length; at += size) {
    const piece = body.slice(at, at + size);
    text += `${piece.length.toString(16)}\r\n${piece}\r\n`;
  }
  return `${text}0\r\n${trailers}\r\n`;
}

/** A mux's path tells its client: the query, which could say more, is not in the log. */
export function muxPath(tag: string): string {
  return `/mux${tag.split(".")[1]}`;
}

/** A request as its client sends it. `tag` names the exchange; the path carries it. */
export function requestBytes(spec: RequestSpec, tag: string): Rendered {
  const { method, framing, size, version, extra, upgrade } = spec;
  const path = upgrade === "mux" ? `${muxPath(tag)}?q` : `/${tag}?q`;
  let head = `${method} ${path} HTTP/${version}\r\nHost: a\r\nX-Of: ${tag}\r\n`;
  if (upgrade !== "none") {
    head +=
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n";
  } else if (extra === "close") head += "Connection: close\r\n";
  if (extra === "expect") head += "Expect: 100-continue\r\n";
  if (extra === "idempotent") head += `Idempotency-Key: "${tag}"\r\n`;
  const body = framing === "none" ? "" : bodyOf(`q${tag}`, size);
  if (framing === "length") head += `Content-Length: ${body.length}\r\n\r\n`;
  else if (framing === "chunked")
    head += `${extra === "trailers" ? "Trailer: X-End\r\n" : ""}Transfer-Encoding: chunked\r\n\r\n`;
  else head += "\r\n";
  const rest = framing === "chunked" ? chunked(body, 3, extra === "trailers" ? `X-End: ${tag}\r\n` : "") : body;
  return { text: head + rest, headEnd: head.length, body };
}

/** Has an answer to this request no body, whatever its head says (RFC 9112 6.3)? */
export function isBodiless(request: RequestSpec, { status }: AnswerSpec): boolean {
  return request.method === "HEAD" || status === 204 || status === 304;
}

function interim(status: number): string {
  return status === 103
    ? "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    : `HTTP/1.1 ${status} Continue\r\n\r\n`;
}

const SWITCHING =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n";

/** Surplus bytes that look like the answer of another exchange. */
const SURPLUS_ANSWER = "HTTP/1.1 200 OK\r\nX-Of: surplus\r\nContent-Length: 7\r\n\r\nsurplus";

/** An answer as its upstream sends it. */
export function answerBytes(spec: AnswerSpec, request: RequestSpec, tag: string): RenderedAnswer {
  const before = spec.interims.map(interim).join("");
  if (spec.switches) {
    const text = `${before}${SWITCHING}X-Of: ${tag}\r\n\r\n`;
    return { text, headEnd: text.length, body: "", wholeAt: text.length, untilClose: false, reusable: false };
  }
  if (spec.flaw === "garbage") return broken(`${before}no answer at all\r\n\r\n`);
  const bodiless = isBodiless(request, spec);
  const { status, framing, version, keeps, events, flaw } = spec;
  const line = `HTTP/${version} ${flaw === "bad-status" ? "000" : status} Said`;
  let head = `${before}${line}\r\nX-Of: ${tag}\r\n`;
  if (events) head += "Content-Type: text/event-stream\r\n";
  if (keeps === "close") head += "Connection: close\r\n";
  if (keeps === "hint") head += "Keep-Alive: timeout=30\r\n";
  if (keeps === "hint" || keeps === "keep-alive") head += "Connection: keep-alive\r\n";
  const body = bodiless ? "" : bodyOf(`a${tag}`, spec.size);
  const trailers = spec.trailers ? `X-Tail: ${tag}\r\n` : "";
  // A 204 must not carry a length, nor chunks.
  if (framing === "length" && status !== 204) head += `Content-Length: ${bodiless ? spec.size : body.length}\r\n`;
  else if (framing === "chunked" && status !== 204)
    head += `${trailers === "" ? "" : "Trailer: X-Tail\r\n"}Transfer-Encoding: chunked\r\n`;
  if (flaw === "two-lengths") head += "Content-Length: 1\r\nContent-Length: 2\r\n";
  head += "\r\n";
  if (flaw === "bad-status" || flaw === "two-lengths") return broken(`${head}${body}`);
  const untilClose = !bodiless && framing === "close";
  let rest = bodiless ? "" : framing === "chunked" ? chunked(body, 3, trailers) : body;
  if (flaw === "bad-chunk" && framing === "chunked" && !bodiless) {
    const good = `${body.length.toString(16)}\r\n${body}\r\n`;
    return { ...broken(`${head}${body === "" ? "" : good}zz\r\n`), headEnd: head.length, body };
  }
  const whole = head.length + rest.length;
  if (!untilClose && flaw === "surplus") rest += "junk behind it\r\n\r\n";
  if (!untilClose && flaw === "surplus-answer") rest += SURPLUS_ANSWER;
  const persists = version === "1.1" ? keeps !== "close" : keeps === "hint" || keeps === "keep-alive";
  // RFC 9112 6.1: an HTTP/1.0 message with a transfer coding is framed by mistake.
  const framedOddly = version === "1.0" && framing === "chunked" && status !== 204;
  // An answer to HEAD that announces a body may be followed by one, from servers that know no better.
  const announces =
    request.method === "HEAD" && status !== 204 && status !== 304 && framing !== "close" && spec.size > 0;
  return {
    text: head + rest,
    headEnd: head.length,
    body,
    wholeAt: whole,
    untilClose,
    reusable: persists && !untilClose && !framedOddly && !announces,
  };
}

function broken(text: string): RenderedAnswer {
  return { text, headEnd: text.length, body: "", wholeAt: Infinity, untilClose: false, reusable: false };
}

/** One frame of a WebSocket; masked with zeros, so that its payload can be read. */
export function frame(opcode: number, payload: string, masked: boolean): string {
  const { length } = payload;
  const size =
    length < 126
      ? String.fromCharCode(length | (masked ? 0x80 : 0))
      : String.fromCharCode(126 | (masked ? 0x80 : 0), length >> 8, length & 0xff);
  return `${String.fromCharCode(0x80 | opcode)}${size}${masked ? "\0\0\0\0" : ""}${payload}`;
}

const CLOSE_NORMALLY = "\x03\xe8";

/** The bytes that a side sends through a tunnel. */
export function frameBytes(exchange: ExchangeSpec, side: "client" | "upstream", tag: string): string {
  const masked = side === "client";
  const { frames } = exchange;
  const all = frames[side].map((size, n) => frame(2, bodyOf(`${side[0]}${tag}.${n}`, size), masked));
  if (frames.closes === side) all.push(frame(8, CLOSE_NORMALLY, masked));
  return all.join("");
}

/**
 * Cuts text into pieces. A place below 1 is a share of the whole; from 1 on it names one of `marks`, ends of heads and
 * of messages, because that is where readers go wrong. Nothing is cut behind `last`.
 */
export function cutAt(text: string, places: readonly number[], marks: readonly number[], last = Infinity): string[] {
  const found = new Set<number>();
  for (const place of places) {
    const at = place < 1 ? Math.floor(place * text.length) : (marks[Math.floor(place) - 1] ?? 0);
    if (at > 0 && at < text.length && at < last) found.add(at);
  }
  const ends = [...found].toSorted((a, b) => a - b);
  return [...ends, text.length].map((end, n) => text.slice(n === 0 ? 0 : ends[n - 1], end)).filter((one) => one !== "");
}

/** Name of an exchange: of this play of a schedule, of this client, the so manieth. */
export function tagOf(play: string, client: number, index: number): string {
  return `${play}.${client}.${index}`;
}

/** A request among all that its client sends: where it begins, where its head and all of it end; and its body. */
export interface PlacedRequest {
  from: number;
  head: number;
  end: number;
  body: string;
}

/** Everything a client would send. */
export function clientBytes(
  { exchanges }: ClientSpec,
  play: string,
  client: number,
): { text: string; requests: PlacedRequest[] } {
  let text = "";
  const requests = exchanges.map((exchange, index) => {
    const tag = tagOf(play, client, index);
    const { text: bytes, headEnd, body } = requestBytes(exchange.request, tag);
    const from = text.length;
    text += bytes;
    const end = text.length;
    if (exchange.request.upgrade !== "none") text += frameBytes(exchange, "client", tag);
    return { from, head: from + headEnd, end, body };
  });
  return { text, requests };
}
