// Reads a response's head strictly, and makes the head for the client from it (RFC 9112 4, 5, 6).
// Called by response-parser.ts and exchange; pure. A head that two readers could understand differently becomes a 502.

import { codingsOf, dropNominated, linesOf, nominate, ows, tokens } from "./fields.ts";

/** A response head that can be relayed. */
export interface ResponseHead {
  status: number;
  reason: string;
  /** HTTP/1.1, or else HTTP/1.0? */
  isHttp11: boolean;
  /** End-to-end fields as sent, [name, value, ...], without the framing fields. */
  fields: string[];
  /** Is the body framed by chunks, by a length, or by the end of the connection? */
  framing: "chunked" | "length" | "close";
  /** Content-Length in bytes; 0 when there is none. */
  length: number;
  trailer: string | undefined;
  /** Does the upstream keep the connection open after this response (RFC 9112 9.3)? */
  persistent: boolean;
  /** `Keep-Alive: timeout` in milliseconds: how long the upstream keeps the connection open when it is idle. */
  keepAliveMs: number | undefined;
  eventStream: boolean;
  /** The value of Upgrade (several fields are joined by commas); empty when there is none. */
  upgrade: string;
  /** Was a WebSocket extension agreed on (RFC 6455 9.1)? */
  extensions: boolean;
}

// RFC 9112 2.2 and 5: a control byte, a bare CR or a bare LF means different things to different readers.
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const STRAY = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|$)|(?:^|[^\r])\n/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** 15 digits: exact as a number. */
const LENGTH = /^\d{1,15}$/;

/** Do whole lines hold no control bytes, bare CR or bare LF? */
export function isClean(text: string): boolean {
  // The CRLF of the last line was cut off, so a CR at the end is a bare one.
  return !text.endsWith("\r") && !hasStray(text);
}

/** Does incomplete text hold such a byte? A CR at its end is allowed: it may be the first half of a CRLF. */
export function hasStray(text: string): boolean {
  return STRAY.test(text);
}

/**
 * Reads field lines into [name, value, ...]; undefined when one is malformed. A folded line is joined by a space
 * (RFC 9112 5.2). Whitespace in front of a colon is removed, as a proxy has to do in a response (5.1).
 *
 * @param text lines with CRLF between them; they begin at `from`.
 */
export function readFields(text: string, from: number): string[] | undefined {
  const fields: string[] = [];
  for (let at = from; at < text.length;) {
    const next = text.indexOf("\r\n", at);
    const end = next < 0 ? text.length : next;
    if (text[at] === " " || text[at] === "\t") {
      if (fields.length === 0) return undefined;
      // Appended, not trimmed as a whole: that would copy the value for each fold, and thousands of folds take minutes.
      const before = fields.pop() ?? "";
      const more = ows(text.slice(at, end));
      fields.push(before === "" || more === "" ? before + more : `${before} ${more}`);
    } else {
      const colon = text.indexOf(":", at);
      if (colon < 0 || colon >= end) return undefined;
      const name = ows(text.slice(at, colon));
      if (!TOKEN.test(name)) return undefined;
      fields.push(name, ows(text.slice(colon + 1, end)));
    }
    at = end + 2;
  }
  return fields;
}

/**
 * Reads a head.
 *
 * @param text everything in front of the empty line, as latin1.
 * @returns undefined when it must not be relayed: malformed, or with framing that is unknown or ambiguous.
 */
export function readResponseHead(text: string): ResponseHead | undefined {
  if (!isClean(text)) return undefined;
  const lineEnd = text.indexOf("\r\n");
  const line = STATUS_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
  const raw = line && readFields(text, lineEnd < 0 ? text.length : lineEnd + 2);
  if (!line || !raw) return undefined;
  const head: ResponseHead = {
    status: Number(line[2]),
    reason: line[3] ?? "",
    fields: [],
    framing: "close",
    length: 0,
    trailer: undefined,
    isHttp11: line[1] === "1",
    persistent: line[1] === "1",
    keepAliveMs: undefined,
    eventStream: false,
    upgrade: "",
    extensions: false,
  };
  return sort(raw, head) ? head : undefined;
}

/** Sorts raw fields into `head`; drops hop-by-hop fields. False when the framing is invalid or contradicts itself. */
function sort(raw: readonly string[], head: ResponseHead): boolean {
  const { fields } = head;
  let nominated: Set<string> | undefined;
  let coding: string | undefined;
  let length: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    switch (name.toLowerCase()) {
      case "connection": {
        const options = tokens(value);
        if (options.includes("close")) head.persistent = false;
        else if (options.includes("keep-alive")) head.persistent = true;
        nominated = nominate(nominated, options);
        continue;
      }
      case "keep-alive": {
        const seconds = /(?:^|[,; \t])timeout[ \t]*=[ \t]*"?(\d+)/i.exec(value)?.[1];
        if (seconds !== undefined) head.keepAliveMs = Number(seconds) * 1000;
        continue;
      }
      case "upgrade":
        head.upgrade = head.upgrade === "" ? value : `${head.upgrade}, ${value}`;
        continue;
      case "proxy-connection":
      case "te":
      case "proxy-authenticate":
      case "proxy-authorization":
        continue;
      case "transfer-encoding":
        coding = [...(coding === undefined ? [] : [coding]), ...codingsOf(value)].join();
        continue;
      case "content-length":
        // Two Content-Length fields, even equal ones, are a sign of response splitting (RFC 9112 6.3).
        if (length !== undefined || !LENGTH.test(value)) return false;
        length = value;
        continue;
      case "trailer":
        head.trailer = head.trailer === undefined ? value : `${head.trailer}, ${value}`;
        continue;
      case "content-type":
        head.eventStream = /^text\/event-stream[ \t]*(;|$)/i.test(value);
        break;
      case "sec-websocket-extensions":
        head.extensions = true;
        break;
    }
    fields.push(name, value);
  }
  if (nominated) dropNominated(fields, nominated);
  if (coding !== undefined) {
    // HTTP/1.0 has no transfer codings. Such framing is faulty, so the connection must not be reused (RFC 9112 6.1).
    if (!head.isHttp11) head.persistent = false;
    head.framing = "chunked";
    return coding === "chunked" && length === undefined;
  }
  if (length !== undefined) {
    head.framing = "length";
    head.length = Number(length);
  }
  return true;
}

/**
 * The fields for the client, framing included. Changes `head.fields` and returns it.
 *
 * @param chunkable does the client speak HTTP/1.1? An older one gets a chunked body as a close-delimited one.
 * @param bodiless HEAD, 204 or 304: no body follows, whatever the fields say (RFC 9112 6.3).
 */
export function toClient(head: ResponseHead, chunkable: boolean, bodiless: boolean): string[] {
  const { fields, framing } = head;
  if (framing === "chunked") {
    if (chunkable && !bodiless) {
      if (head.trailer !== undefined) fields.push("Trailer", head.trailer);
      fields.push("Transfer-Encoding", "chunked");
    }
    // A 204 must not have a Content-Length (RFC 9110 8.6). After HEAD and in a 304 it states the length that a GET
    // would get.
  } else if (framing === "length" && head.status !== 204) fields.push("Content-Length", String(head.length));
  return fields;
}

/** The head of a relayed 1xx, ready to be written to a socket (RFC 9110 15.2). */
export function interimHead({ status, reason, fields }: ResponseHead): string {
  return `HTTP/1.1 ${status} ${reason.replaceAll(/[^\t\x20-\x7e]/g, "")}\r\n${linesOf(fields)}\r\n`;
}

/** Does a 101 switch to WebSocket, and to nothing else (RFC 6455 4.1)? */
export function isWebSocket({ upgrade }: ResponseHead): boolean {
  return tokens(upgrade).join() === "websocket";
}

/** Do the framing fields announce a body? That one may not follow (HEAD, 204, 304) is not considered here. */
export function announcesBody({ framing, length }: ResponseHead): boolean {
  return framing === "chunked" || length > 0;
}

/** The head of the 101 for the client: the upstream's fields, and the hop-by-hop fields of the upgrade. */
export function switchingHead({ fields }: ResponseHead): string {
  return `HTTP/1.1 101 Switching Protocols\r\n${linesOf(fields)}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
}
