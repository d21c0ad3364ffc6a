// The answer to a TRACE with `Max-Forwards: 0`, which this proxy has to give itself (RFC 9110 7.6.2, 9.3.8).
// Called by proxy/gate.ts; pure.

import { isFrontField } from "./front-fields.ts";

// Fields that a script in a page must not be able to read back from the answer.
const SECRET = new Set(["authorization", "cookie", "proxy-authorization"]);

/** The content of the answer to TRACE: the request as it came, without secret fields (RFC 9110 9.3.8). */
export function traceOf(line: string, raw: readonly string[]): string {
  let text = `${line}\r\n`;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const lower = name.toLowerCase();
    if (!SECRET.has(lower) && !isFrontField(lower)) text += `${name}: ${raw[i + 1]}\r\n`;
  }
  return `${text}\r\n`;
}
