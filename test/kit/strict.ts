// A request parser with no leniency at all (RFC 9112). Bytes that it refuses could be read differently by a lenient
// upstream, so a test that gets an error from it has found request smuggling.

/** One complete request, as an upstream saw it. */
export interface StrictRequest {
  method: string;
  target: string;
  /** Names as sent. */
  fields: [name: string, value: string][];
  body: string;
  /** Was the body chunked? */
  chunked: boolean;
  trailers: [name: string, value: string][];
}

/** What a connection carried: complete requests, and the bytes of one that is not complete (or of a tunnel). */
export interface StrictConnection {
  requests: StrictRequest[];
  rest: string;
}

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~\w]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.1$/;
const FIELD =
  /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)$/;

/** Values of a field, by lower-case name, in order. */
export function valuesOf(fields: readonly [string, string][], name: string): string[] {
  return fields.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value);
}

/** Reads up to the next CRLF; undefined when it has not come. A CR or LF that stands alone is an error. */
function line(bytes: string, from: number): { text: string; next: number } | undefined {
  const end = bytes.indexOf("\r\n", from);
  const text = bytes.slice(from, end < 0 ? undefined : end);
  if (/[\r\n]/.test(end < 0 ? text.replace(/\r$/, "") : text))
    throw new Error(`bare CR or LF in ${JSON.stringify(text)}`);
  return end < 0 ? undefined : { text, next: end + 2 };
}

/** Reads fields up to the empty line. */
function fieldsFrom(bytes: string, from: number): { fields: [string, string][]; next: number } | undefined {
  const fields: [string, string][] = [];
  for (let at = from; ;) {
    const read = line(bytes, at);
    if (!read) return undefined;
    at = read.next;
    if (read.text === "") return { fields, next: at };
    const [, name, value] = FIELD.exec(read.text) ?? [];
    if (name === undefined || value === undefined) throw new Error(`no field: ${JSON.stringify(read.text)}`);
    fields.push([name, value]);
  }
}

function chunksFrom(bytes: string, from: number): { body: string; next: number } | undefined {
  let body = "";
  for (let at = from; ;) {
    const read = line(bytes, at);
    if (!read) return undefined;
    if (!/^[0-9a-f]{1,8}$/i.test(read.text)) throw new Error(`no chunk size: ${JSON.stringify(read.text)}`);
    const size = Number.parseInt(read.text, 16);
    if (size === 0) return { body, next: read.next };
    at = read.next + size + 2;
    if (bytes.length < at) return undefined;
    if (bytes.slice(at - 2, at) !== "\r\n")
      throw new Error(`no CRLF behind a chunk: ${JSON.stringify(bytes.slice(at - 9, at))}`);
    body += bytes.slice(read.next, at - 2);
  }
}

function requestFrom(bytes: string, from: number): { request: StrictRequest; next: number } | undefined {
  const first = line(bytes, from);
  if (!first) return undefined;
  const [, method, target] = REQUEST_LINE.exec(first.text) ?? [];
  if (method === undefined || target === undefined) throw new Error(`no request line: ${JSON.stringify(first.text)}`);
  // RFC 9112 3.2: the origin gets origin-form, or the asterisk of OPTIONS. A fragment is no part of it.
  if (!(target.startsWith("/") || (method === "OPTIONS" && target === "*")) || target.includes("#"))
    throw new Error(`no target for an origin: ${JSON.stringify(first.text)}`);
  const head = fieldsFrom(bytes, first.next);
  if (!head) return undefined;
  const { fields } = head;
  const lengths = valuesOf(fields, "content-length");
  const codings = valuesOf(fields, "transfer-encoding");
  if (valuesOf(fields, "host").length !== 1) throw new Error(`not one Host in ${JSON.stringify(fields)}`);
  if (lengths.length + codings.length > 1) throw new Error(`framed twice: ${JSON.stringify(fields)}`);
  const request: StrictRequest = { method, target, fields, body: "", chunked: codings.length > 0, trailers: [] };
  if (codings[0] !== undefined) {
    if (codings[0] !== "chunked") throw new Error(`coding ${JSON.stringify(codings[0])}`);
    const read = chunksFrom(bytes, head.next);
    const end = read && fieldsFrom(bytes, read.next);
    if (!read || !end) return undefined;
    return { request: { ...request, body: read.body, trailers: end.fields }, next: end.next };
  }
  if (lengths[0] === undefined) return { request, next: head.next };
  if (!/^\d+$/.test(lengths[0])) throw new Error(`length ${JSON.stringify(lengths[0])}`);
  const next = head.next + Number(lengths[0]);
  return bytes.length < next ? undefined : { request: { ...request, body: bytes.slice(head.next, next) }, next };
}

/** Reads all requests of a connection. Behind an upgrade the bytes belong to a tunnel, and stay in `rest`. */
export function parseStrictly(bytes: string): StrictConnection {
  const requests: StrictRequest[] = [];
  for (let at = 0; ;) {
    const read = requestFrom(bytes, at);
    if (!read) return { requests, rest: bytes.slice(at) };
    requests.push(read.request);
    at = read.next;
    if (valuesOf(read.request.fields, "upgrade").length > 0) return { requests, rest: bytes.slice(at) };
  }
}
