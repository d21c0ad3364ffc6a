// Helpers for request and response fields: lists, fields that Connection names, trailers (RFC 9110 5.6, 7.6.1). Used by
// request-head.ts, response-head.ts and exchange; pure. Fields are kept as node's raw arrays [name, value, name, value,
// ...], so order, case, duplicates and a field named __proto__ survive.

import { isDisguised, isFrontField } from "./front-fields.ts";

const SP = 32;
const HTAB = 9;

/**
 * Trims optional whitespace: SP and HTAB, nothing else (RFC 9110 5.6.3). String.trim() would also remove 0xa0, which is
 * the last byte of many UTF-8 letters and would let `chunked\xa0` pass for `chunked`.
 */
export function ows(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from += 1;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}

/** Splits a comma-separated list into lower-case elements, without the empty ones. */
export function tokens(value: string): string[] {
  return value
    .toLowerCase()
    .split(",")
    .map(ows)
    .filter((token) => token !== "");
}

/** The codings of a Transfer-Encoding field. An empty field counts as an unknown coding: peers read it differently. */
export function codingsOf(value: string): string[] {
  const codings = tokens(value);
  return codings.length > 0 ? codings : [""];
}

/** Removes the fields that a Connection field names. `fields` is changed in place. */
export function dropNominated(fields: string[], nominated: ReadonlySet<string>): void {
  let kept = 0;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (nominated.has(name.toLowerCase())) continue;
    fields[kept] = name;
    fields[kept + 1] = fields[i + 1] ?? "";
    kept += 2;
  }
  fields.length = kept;
}

// Connection options that name no end-to-end field: they are no field names, or name fields that are dropped anyway.
const HARMLESS = new Set(["keep-alive", "close", "upgrade", "te", "http2-settings", "proxy-connection"]);

/** Adds the options of a Connection field that may name an end-to-end field; makes the set when the first one comes. */
export function nominate(nominated: Set<string> | undefined, options: readonly string[]): Set<string> | undefined {
  for (const option of options) {
    if (HARMLESS.has(option)) continue;
    nominated ??= new Set();
    nominated.add(option);
  }
  return nominated;
}

// Fields that must not arrive after the body, because they decide how the message is read (RFC 9110 6.5.1).
const NOT_IN_TRAILERS =
  /^(content-length|content-encoding|content-type|content-range|transfer-encoding|host|connection|keep-alive|te|trailer|upgrade|via|x-single-port-via|authorization|cookie|set-cookie|proxy-.*|expect|max-forwards|cache-control)$/;

/** The trailer fields that may be passed on, as the pairs `addTrailers` takes. */
export function passTrailers(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const lower = name.toLowerCase();
    if (!NOT_IN_TRAILERS.test(lower) && !isFrontField(lower) && !isDisguised(lower))
      pairs.push([name, raw[i + 1] ?? ""]);
  }
  return pairs;
}

/** Fields as lines, each with its CRLF. */
export function linesOf(fields: readonly string[]): string {
  let lines = "";
  for (let i = 0; i < fields.length; i += 2) lines += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return lines;
}
