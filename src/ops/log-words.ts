// Formats log lines for a terminal (--log-format pretty): one sentence each. Used by log.ts with pino-pretty, and by
// status-text.ts; pure.

import type { Outcome } from "../core/outcome.ts";
import { elapsed, whatHappened } from "./what-happened.ts";

/** Escapes control characters: text from a peer may hold terminal escape sequences. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, (one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** The failed attempts: `39 times ECONNREFUSED`. */
function failuresOf({ attempts }: Outcome): string[] {
  const failures = new Map<string, number>();
  for (const { code, reused, idleMs, times, proof } of attempts) {
    if (code === undefined) continue;
    const known = proof === undefined ? "" : `, the request was ${proof}`;
    const failure = reused ? `${code} on a connection reused after ${elapsed(idleMs)} idle${known}` : code;
    failures.set(failure, (failures.get(failure) ?? 0) + times);
  }
  return [...failures].map(([failure, times]) => (times > 1 ? `${times} times ${failure}` : failure));
}

/** `mux: GET /mux → 101; the client reset the connection after 12.3 s; 12 B in, 3400 B out; a-1` */
function ofOutcome(outcome: Outcome & { what?: string }): string {
  const { route, method, path, status, error, by, bytesIn, bytesOut, id, ray, client = "" } = outcome;
  const answer = status === 0 ? "no answer" : `${status}${error === undefined ? "" : ` ${error}`}`;
  // A connection that broke before its first head was complete has no method and no path.
  const asked = method === "" ? "connection" : `${method} ${path}`;
  const parts = [`${asked} → ${answer}`, outcome.what ?? whatHappened(outcome, route)];
  if (bytesIn + bytesOut > 0) parts.push(`${bytesIn} B in, ${bytesOut} B out`);
  parts.push(...failuresOf(outcome), id);
  // Whose request was wrong. Elsewhere the address would only make the line longer.
  if (by === "client" && error !== undefined && client !== "") parts.push(`from ${client}`);
  if (ray !== undefined) parts.push(`ray ${ray}`);
  return `${route === "" ? "" : `${route}: `}${parts.join("; ")}`;
}

const KNOWN = new Set(["level", "time", "pid", "hostname", "msg", "err"]);

/** The text of a log line; pino-pretty puts time and level in front. */
export function sentence(line: Record<string, unknown>): string {
  if (typeof line["by"] === "string" && typeof line["phase"] === "string") {
    return printable(ofOutcome(line as unknown as Outcome));
  }
  const { msg = "", err } = line as { msg?: string; err?: { message?: string; stack?: string } };
  const facts = Object.entries(line).flatMap(([name, value]) =>
    KNOWN.has(name) || value === undefined
      ? []
      : [`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`],
  );
  const text = printable([msg, ...facts].join(" "));
  if (!err) return text;
  // The stack is of use for bugs only, which are logged as errors or worse.
  return Number(line["level"]) >= 50 ? `${text}\n${err.stack ?? err.message}` : `${text}: ${err.message}`;
}
