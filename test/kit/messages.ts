// Reads HTTP responses off a raw client, one after another, so that tests see framing and field order as sent.

import { until, within } from "./until.ts";
import { dial, type RawClient } from "./client.ts";

/** One response, as it came. Text is latin1: a character is a byte. */
export interface WireResponse {
  status: number;
  reason: string;
  fields: [string, string][];
  /** Without chunk framing. */
  body: string;
  trailers: [string, string][];
  /** Head and body, byte for byte. */
  raw: string;
  /** The values of a field, whatever its case. */
  all(name: string): string[];
  /** The one value of a field; undefined when absent, values of a repeated one joined. */
  field(name: string): string | undefined;
}

function parseFields(lines: string[]): [string, string][] {
  return lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}

/** Takes chunks off the front of `text`; undefined while the last one is not there. */
function parseChunks(text: string): { body: string; trailers: [string, string][]; length: number } | undefined {
  let at = 0;
  let body = "";
  for (;;) {
    const eol = text.indexOf("\r\n", at);
    if (eol < 0) return undefined;
    const size = Number.parseInt(text.slice(at, eol), 16);
    if (Number.isNaN(size)) throw new Error(`not a chunk: ${JSON.stringify(text.slice(at, at + 40))}`);
    at = eol + 2;
    if (size === 0) break;
    if (text.length < at + size + 2) return undefined;
    body += text.slice(at, at + size);
    at += size + 2;
  }
  const lines: string[] = [];
  for (;;) {
    const eol = text.indexOf("\r\n", at);
    if (eol < 0) return undefined;
    const line = text.slice(at, eol);
    at = eol + 2;
    if (line === "") return { body, trailers: parseFields(lines), length: at };
    lines.push(line);
  }
}

/**
 * Takes one response off the front of `text`; undefined while it is incomplete.
 *
 * @param closed has the connection ended, so that a body without a length is complete?
 */
export function parseResponse(text: string, method = "GET", closed = false): WireResponse | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const match = /^HTTP\/1\.1 (\d{3}) ?(.*)$/s.exec(first);
  if (!match) throw new Error(`not a response: ${JSON.stringify(text.slice(0, 200))}`);
  const status = Number(match[1]);
  const fields = parseFields(lines);
  const all = (name: string): string[] =>
    fields.filter(([one]) => one.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  const field = (name: string): string | undefined => (all(name).length > 0 ? all(name).join(", ") : undefined);
  const rest = text.slice(end + 4);
  const made = (body: string, length: number, trailers: [string, string][] = []): WireResponse => {
    return { status, reason: match[2] ?? "", fields, body, trailers, all, field, raw: text.slice(0, end + 4 + length) };
  };
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return made("", 0);
  if (field("transfer-encoding") !== undefined) {
    const chunks = parseChunks(rest);
    return chunks && made(chunks.body, chunks.length, chunks.trailers);
  }
  const length = field("content-length");
  if (length === undefined) return closed ? made(rest, rest.length) : undefined;
  return rest.length < Number(length) ? undefined : made(rest.slice(0, Number(length)), Number(length));
}

const offsets = new WeakMap<RawClient, number>();

/** The next response on this connection, interim ones included, once it is complete. */
export async function nextResponse(client: RawClient, method = "GET", ms = 4000): Promise<WireResponse> {
  const from = offsets.get(client) ?? 0;
  let closed = false;
  void client.ended.then(() => (closed = true));
  const unread = (): string => client.received().slice(from);
  const response = await until(
    () => {
      const parsed = parseResponse(unread(), method, closed);
      if (!parsed && closed) throw new Error(`the connection ended within a response: ${JSON.stringify(unread())}`);
      return parsed;
    },
    "a response",
    ms,
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; came: ${JSON.stringify(unread().slice(0, 400))}`, { cause: error });
  });
  offsets.set(client, from + response.raw.length);
  return response;
}

/** Sends a request on a connection of its own; resolves with its answer. */
export async function ask(port: number, bytes: string, ms = 4000): Promise<WireResponse> {
  const client = await dial(port);
  client.send(bytes);
  const response = await nextResponse(client, bytes.slice(0, bytes.indexOf(" ")), ms);
  client.halfClose();
  return response;
}

/** The head of the request a raw upstream got, split: its line and its fields in order. */
export async function requestHead(peer: RawClient, ms?: number): Promise<{ line: string; fields: [string, string][] }> {
  const text = await peer.readUntil("\r\n\r\n", ms);
  const [line = "", ...lines] = text.slice(0, text.indexOf("\r\n\r\n")).split("\r\n");
  return { line, fields: parseFields(lines) };
}

/** Resolves with whether the connection ends within `ms`, and how. */
export async function endOf(client: RawClient, ms = 4000): Promise<"fin" | "rst"> {
  return await within(client.ended, "the connection to end", ms);
}
