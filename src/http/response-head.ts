// A response's head: read strictly from the upstream's bytes, and written anew for the client (RFC 9112 4, 5, 6).
// Called by response-parser.ts, answer.ts and exchange.ts; pure. What could be read in two ways is refused with 502.

import { codingsOf, dropNominated, linesOf, nominate, ows, tokens } from "./fields.ts";

/** A head that can be relayed. */
export interface ResponseHead {
  status: number;
  reason: string;
  /** HTTP/1.1, or else HTTP/1.0? */
  isHttp11: boolean;
  /** End-to-end fields as sent, [name, value, ...]; the framing is not among them. */
  fields: string[];
  /** Is the body framed by chunks, by a length, or by the end of the connection? */
  framing: "chunked" | "length" | "close";
  /** Content-Length in bytes; 0 when there is none. */
  length: number;
  trailer: string | undefined;
  /** Does the upstream keep the connection open behind it (RFC 9112 9.3)? */
  persistent: boolean;
  /** `Keep-Alive: timeout` in milliseconds: how long the upstream keeps an idle connection. */
  keepAliveMs: number | undefined;
  eventStream: boolean;
  /** The value of Upgrade, of several fields joined by commas; empty when there is none. */
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

/** Are there no bytes in these lines that readers disagree about? */
export function isClean(text: string): boolean {
  // Behind the last line comes its CRLF, so a CR there is a bare one, too.
  return !text.endsWith("\r") && !hasStray(text);
}

/** Is there such a byte in text that goes on? A CR at its end may be the first half of the end of a line. */
export function hasStray(text: string): boolean {
  return STRAY.test(text);
}

/**
 * Reads field lines into [name, value, ...]; undefined when one is malformed. A folded line is joined by a space
 * (RFC 9112 5.2), and space in front of a colon is left out, as a proxy has to do with a response (5.1).
 *
 * @param text the lines, CRLF between them, from `from` on.
 */
export function readFields(text: string, from: number): string[] | undefined {
  const fields: string[] = [];
  for (let at = from; at < text.length;) {
    const next = text.indexOf("\r\n", at);
    const end = next < 0 ? text.length : next;
    if (text[at] === " " || text[at] === "\t") {
      if (fields.length === 0) return undefined;
      // Appending costs nothing; to trim the whole each time would copy it, and thousands of folds take minutes.
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
 * @returns undefined when nobody can relay it: malformed, or framed in a way that is not known or not unambiguous.
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

/** Takes out of the raw fields what is for this hop. False when they contradict each other about the body. */
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
        // Two of them, even equal ones, are what an attacker sends (RFC 9112 6.3).
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
    // HTTP/1.0 knows no codings: such framing is faulty, and nothing may follow behind it (RFC 9112 6.1).
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
 * The fields for the client, framing included; `head.fields` is used up.
 *
 * @param chunkable does the client understand chunks (HTTP/1.1)? An older one gets the body up to the close.
 * @param bodiless HEAD, 204 and 304: no body follows, whatever the fields say (RFC 9112 6.3).
 */
export function toClient(head: ResponseHead, chunkable: boolean, bodiless: boolean): string[] {
  const { fields, framing } = head;
  if (framing === "chunked") {
    if (chunkable && !bodiless) {
      if (head.trailer !== undefined) fields.push("Trailer", head.trailer);
      fields.push("Transfer-Encoding", "chunked");
    }
    // A 204 must not carry one (RFC 9110 8.6); on HEAD and 304 it describes the body that is not there.
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

/** Does the head announce a body, whether one may follow or not? */
export function announcesBody({ framing, length }: ResponseHead): boolean {
  return framing === "chunked" || length > 0;
}

/** The head of the 101 that opens a tunnel: everything the upstream said, with the upgrade named again. */
export function switchingHead({ fields }: ResponseHead): string {
  return `HTTP/1.1 101 Switching Protocols\r\n${linesOf(fields)}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
}
