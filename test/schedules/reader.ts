// Reads HTTP strictly, as far as it has come: answers at a client, requests at an upstream. Pure.
// What is not exactly HTTP is an error: whatever the proxy writes, it wrote itself.

/** A message as far as it has come. */
export interface ReadMessage {
  /** The first line. */
  line: string;
  fields: [name: string, value: string][];
  /** Without framing. */
  body: string;
  trailers: [name: string, value: string][];
  complete: boolean;
  /** Only the end of the connection will complete it. */
  untilClose: boolean;
  /** Where the next one begins, when it is complete. */
  end: number;
  /** How much has to be there before it can be complete, as far as it says. */
  needs: number;
}

const FIELD = /^([!#$%&'*+\-.^_`|~\w]+): ?([\t\x20-\x7e\x80-\xff]*)$/;

/** The values of a field, by lower-case name. */
export function valuesOf(fields: readonly [string, string][], name: string): string[] {
  return fields.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value);
}

function fieldsOf(lines: string[]): [string, string][] {
  return lines.map((line) => {
    const [, name, value] = FIELD.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`no field: ${JSON.stringify(line)}`);
    return [name, value];
  });
}

/** Reads chunks from `at` on. */
function readChunks(text: string, at: number, into: ReadMessage): void {
  for (let from = at; ;) {
    const eol = text.indexOf("\r\n", from);
    if (eol < 0) {
      if (!/^[0-9a-f]*\r?$/i.test(text.slice(from)))
        throw new Error(`no chunk: ${JSON.stringify(text.slice(from, from + 20))}`);
      return;
    }
    const size = text.slice(from, eol);
    if (!/^[0-9a-f]{1,8}$/i.test(size)) throw new Error(`no chunk size: ${JSON.stringify(size)}`);
    const length = Number.parseInt(size, 16);
    if (length === 0) {
      const end = text.indexOf("\r\n\r\n", eol);
      if (end < 0) return;
      into.trailers = end === eol ? [] : fieldsOf(text.slice(eol + 2, end).split("\r\n"));
      into.complete = true;
      into.end = end + 4;
      return;
    }
    into.body += text.slice(eol + 2, eol + 2 + length);
    const next = eol + 2 + length;
    if (text.length >= next + 2 && text.slice(next, next + 2) !== "\r\n") throw new Error("no CRLF behind a chunk");
    if (text.length < next + 2) return;
    from = next + 2;
  }
}

function readBody(text: string, at: number, bodiless: boolean, isAnswer: boolean, into: ReadMessage): void {
  const codings = valuesOf(into.fields, "transfer-encoding");
  const lengths = valuesOf(into.fields, "content-length");
  if (codings.length + lengths.length > 1) throw new Error(`framed twice: ${JSON.stringify(into.fields)}`);
  if (bodiless) return finish(into, at);
  if (codings[0] !== undefined) {
    if (codings[0] !== "chunked") throw new Error(`coding ${JSON.stringify(codings[0])}`);
    return readChunks(text, at, into);
  }
  if (lengths[0] !== undefined) {
    if (!/^\d+$/.test(lengths[0])) throw new Error(`length ${JSON.stringify(lengths[0])}`);
    const end = at + Number(lengths[0]);
    into.needs = end;
    into.body = text.slice(at, end);
    if (text.length >= end) finish(into, end);
    return;
  }
  if (!isAnswer) return finish(into, at);
  into.untilClose = true;
  into.needs = Infinity;
  into.body = text.slice(at);
}

function finish(into: ReadMessage, end: number): void {
  into.complete = true;
  into.end = end;
}

/** Reads a head and what follows; undefined while the head has not come. */
function read(
  text: string,
  from: number,
  isAnswer: boolean,
  bodilessOf: (line: string) => boolean,
): ReadMessage | undefined {
  const end = text.indexOf("\r\n\r\n", from);
  if (end < 0) return undefined;
  const [line = "", ...lines] = text.slice(from, end).split("\r\n");
  const message: ReadMessage = {
    line,
    fields: fieldsOf(lines),
    body: "",
    trailers: [],
    complete: false,
    untilClose: false,
    end: Infinity,
    needs: 0,
  };
  readBody(text, end + 4, bodilessOf(line), isAnswer, message);
  return message;
}

/** The status of an answer. */
export function statusOf({ line }: ReadMessage): number {
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(line)?.[1];
  if (status === undefined) throw new Error(`no status line: ${JSON.stringify(line)}`);
  return Number(status);
}

/** An answer to `method`; interim ones are answers of their own. */
export function readAnswer(text: string, from: number, method: string): ReadMessage | undefined {
  const rest = text.slice(from, from + 9);
  if (!"HTTP/1.1 ".startsWith(rest)) throw new Error(`no answer: ${JSON.stringify(text.slice(from, from + 60))}`);
  return read(text, from, true, (line) => {
    const status = Number(line.slice(9, 12));
    return status < 200 || status === 204 || status === 304 || method === "HEAD";
  });
}

/** A request. */
export function readRequest(text: string, from: number): ReadMessage | undefined {
  if (!/^[A-Z]*(?: [\x21-\x7e]*(?: [\x20-\x7e]*)?)?\r?$/.test(text.slice(from).split("\n", 1)[0] ?? "")) {
    throw new Error(`no request: ${JSON.stringify(text.slice(from, from + 60))}`);
  }
  return read(text, from, false, () => false);
}
