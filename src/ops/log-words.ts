// The log as a person reads it on a terminal: one line each, in words. Used by log.ts with pino-pretty,
// and by ops/status-text.ts; pure.

import type { Outcome } from "../core/outcome.ts";

/** What a peer sent may hold bytes that a terminal obeys. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, (one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** 950 ms, 12.3 s, 5 min, 3.2 h. */
function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}

const HOW: Record<Outcome["how"], string> = {
  done: "done",
  fin: "closed",
  rst: "reset",
  timeout: "too slow",
  no_pong: "no pong",
  drain: "drained",
  limit: "refused",
  protocol: "not valid HTTP",
};

/** `mux GET /mux → 101, reset by client after 12.3 s (tunnel); 12 B in, 3400 B out` */
function ofOutcome(outcome: Outcome): string {
  const { route, method, path, status, error, how, by, ms, phase, bytesIn, bytesOut, attempts, id, ray, why } = outcome;
  const answer = status === 0 ? "no answer" : `${status}${error === undefined ? "" : ` ${error}`}`;
  const parts = [`${method} ${path} → ${answer}, ${HOW[how]}${how === "done" ? "" : ` by ${by}`} after ${elapsed(ms)}`];
  if (how !== "done") parts.push(`in phase ${phase}`);
  if (bytesIn + bytesOut > 0) parts.push(`${bytesIn} B in, ${bytesOut} B out`);
  const failures = new Map<string, number>();
  for (const { code, reused, idleMs, times } of attempts) {
    if (code === undefined) continue;
    const failure = reused ? `${code} on a connection idle for ${elapsed(idleMs)}` : code;
    failures.set(failure, (failures.get(failure) ?? 0) + times);
  }
  for (const [failure, times] of failures) parts.push(times > 1 ? `${times} times ${failure}` : failure);
  if (why) parts.push(`seen: ${why.seen}`, `expected: ${why.expected}`, `to let it in: ${why.option}`);
  parts.push(id);
  if (ray !== undefined) parts.push(`ray ${ray}`);
  return `${route === "" ? "" : `${route}: `}${parts.join("; ")}`;
}

const KNOWN = new Set(["level", "time", "pid", "hostname", "msg", "err"]);

/** One line of the log, which pino-pretty puts behind time and level. */
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
  // Where in the code it was matters for bugs only.
  return Number(line["level"]) >= 50 ? `${text}\n${err.stack ?? err.message}` : `${text}: ${err.message}`;
}
