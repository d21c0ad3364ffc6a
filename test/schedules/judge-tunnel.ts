// Judges what came out of a tunnel at both ends. Pure.

import { frame, frameBytes } from "./bytes.ts";
import { isLate, type Case } from "./facts.ts";
import { short } from "./judge-account.ts";

/** What we may put behind the last frame of a side that is lost, or behind everything at a drain. */
const CLOSES = ["\x03\xe9", "\x03\xf4"];

/** Is it the beginning of what was sent, and behind it at most one Close of ours? Returns what is wrong. */
function judgeBytes(got: string, sent: string, masked: boolean): string | undefined {
  if (sent.startsWith(got)) return undefined;
  const length = masked ? 8 : 4;
  const front = got.slice(0, Math.max(0, got.length - length));
  const tail = got.slice(front.length);
  // Our own frames to an upstream are masked with a key of their own.
  const isClose = masked ? tail.startsWith("\x88\x82") : CLOSES.some((reason) => tail === frame(8, reason, false));
  if (isClose && tail.length === length && sent.startsWith(front) && isBoundary(front)) return undefined;
  let same = 0;
  while (same < got.length && same < sent.length && got[same] === sent[same]) same += 1;
  return `${JSON.stringify(got.slice(0, 300))} of ${JSON.stringify(sent.slice(0, 300))}, different from ${same} on`;
}

/** Does a frame end here? */
function isBoundary(bytes: string): boolean {
  let at = 0;
  while (at < bytes.length) {
    const second = bytes.charCodeAt(at + 1);
    let length = second & 0x7f;
    let head = 2;
    if (length === 126) {
      length = (bytes.charCodeAt(at + 2) << 8) | bytes.charCodeAt(at + 3);
      head = 4;
    }
    at += head + ((second & 0x80) > 0 ? 4 : 0) + length;
  }
  return at === bytes.length;
}

/** Judges a tunnel; `received` is what its client got behind the 101. */
export function judgeTunnel(one: Case, received: string): string[] {
  const { exchange, client, played, account } = one;
  const { tag } = exchange;
  const findings: string[] = [];
  const down = frameBytes(exchange.spec, "upstream", tag);
  const up = frameBytes(exchange.spec, "client", tag);
  const last = exchange.arrivals.at(-1);
  const got = last?.on.tunnel ?? "";
  const wrongDown = judgeBytes(received, down, false);
  const wrongUp = judgeBytes(got, up, true);
  if (wrongDown !== undefined) findings.push(`its client got ${wrongDown}`);
  if (wrongUp !== undefined) findings.push(`its upstream got ${wrongUp}`);
  if (account && account.kind === "tunnel") {
    if (account.bytesIn > up.length || account.bytesOut > down.length)
      findings.push(`more bytes than there were: ${short(account)}`);
  }
  const quiet = played.drainedAt === Infinity && played.killedAt === Infinity && !isLate(played);
  if (
    !quiet ||
    !one.innocent ||
    exchange.spec.fault.kind === "fin" ||
    exchange.spec.fault.kind === "rst" ||
    exchange.spec.fault.kind === "close" ||
    exchange.spec.fault.kind === "leave" ||
    exchange.spec.fault.kind === "stall"
  )
    return findings;
  if (!received.startsWith(down)) findings.push(`its client has ${received.length} of ${down.length} bytes`);
  if (client.sent >= (client.requests.at(-1)?.end ?? 0) + up.length && !got.startsWith(up))
    findings.push(`its upstream has ${got.length} of ${up.length} bytes`);
  return findings;
}
