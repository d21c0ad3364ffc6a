// What TRACE and OPTIONS ask of the last server they may reach, when this proxy is it (RFC 9110 7.6.2, 9.3.7, 9.3.8).
// Asked by front/router.ts through the gate; pure.

import { isFrontField } from "./front-fields.ts";

// What a script in a page must not get to read by having it sent back.
const SECRET = new Set(["authorization", "cookie", "proxy-authorization"]);

/** The request as it came, as the content of the answer to TRACE: without what is secret (RFC 9110 9.3.8). */
export function traceOf(line: string, raw: readonly string[]): string {
  let text = `${line}\r\n`;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const lower = name.toLowerCase();
    if (!SECRET.has(lower) && !isFrontField(lower)) text += `${name}: ${raw[i + 1]}\r\n`;
  }
  return `${text}\r\n`;
}
