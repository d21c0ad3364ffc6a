// `single-port check`: would single-port run with these options? Binds the addresses, sends GET / to the web server,
// and makes one handshake with each mux. Called by cli.ts.

import { once } from "node:events";
import { createServer, type ListenOptions } from "node:net";
import type { Options } from "../options/options.ts";
import { codeOf } from "../core/errors.ts";
import { hostPort, type Address, type MuxTarget, type Target } from "../core/target.ts";
import { Whereabouts } from "../upstream/whereabouts.ts";
import { askMux, askWeb, speaksTls, type Answer } from "./check-answers.ts";
import { findControl } from "./control.ts";

/** The result for one address: a line to print, and whether it would work. */
interface Finding {
  words: string;
  ok: boolean;
}

/** Prints where it would listen and what each upstream answers; resolves with whether all of it would work. */
export async function check(options: Options, print: (line: string) => void): Promise<boolean> {
  const { http, mux, host, port, admin, connectTimeout: timeoutMs } = options;
  const findings = await Promise.all([
    tryToBind({ host, port }, options).then(({ words, ok }) => ({ words: `would listen on ${words}`, ok })),
    ...(admin ? [tryToBind(admin, options).then(({ words, ok }) => ({ words: `admin on ${words}`, ok }))] : []),
    tryWeb(http, timeoutMs),
    ...mux.map((one) => tryMux(one, http, timeoutMs)),
  ]);
  for (const { words } of findings) print(words);
  return findings.every(({ ok }) => ok);
}

/** Binds an address and releases it again. */
async function tryToBind(at: Address, { port, takeover }: Options): Promise<Finding> {
  const what = "path" in at ? `unix:${at.path}` : hostPort(at.host, at.port);
  const server = createServer();
  try {
    const listening = once(server, "listening");
    server.listen({ ...at, exclusive: true } satisfies ListenOptions);
    await listening;
    await new Promise((resolve) => server.close(resolve));
    return { words: what, ok: true };
  } catch (error) {
    const code = codeOf(error);
    if (code !== "EADDRINUSE") return { words: `${what}: not possible: ${(error as Error).message}`, ok: false };
    const isOurs = (await findControl(port)) !== undefined;
    if (isOurs && takeover) return { words: `${what}, which a running single-port hands over`, ok: true };
    const hint = isOurs ? "; a single-port of this user runs there, from which --takeover would take over" : "";
    return { words: `${what}: address already in use (EADDRINUSE)${hint}`, ok: false };
  }
}

/** What an upstream answered, and where. */
interface Found {
  answer: Answer;
  address: Address;
  label: string;
}

/** Asks an upstream where the proxy would find it: a bare port has a second address (upstream/whereabouts.ts). */
async function find(target: Target, ask: (address: Address) => Promise<Answer>): Promise<Found> {
  const where = new Whereabouts(target, () => {});
  const { address, label } = where;
  const first = await ask(address);
  const next = first.kind === "unreachable" ? where.alternative(address, first.why) : undefined;
  const second = next && (await ask(next));
  if (!next || !second || second.kind === "unreachable") return { answer: first, address, label };
  where.reached(next);
  return { answer: second, address: next, label: where.label };
}

async function tryWeb(target: Target, timeoutMs: number): Promise<Finding> {
  const { answer, address, label } = await find(target, (at) => askWeb(at, timeoutMs));
  const words = `HTTP → ${label}: ${told(answer)}`;
  if (await isTls(address, answer, timeoutMs)) return { words: `${words}; ${TLS}`, ok: false };
  if (answer.kind === "status" && answer.status === 426) {
    return { words: `${words}: it accepts WebSockets only. Are --http and --mux swapped?`, ok: false };
  }
  return { words, ok: answer.kind === "status" };
}

async function tryMux({ target, paths }: MuxTarget, http: Target, timeoutMs: number): Promise<Finding> {
  const path = target.path ?? paths[0] ?? "/";
  const { answer, address, label } = await find(target, (at) => askMux(at, path, timeoutMs));
  const words = `${paths.join(", ")} → ${label}${path}: ${told(answer)}`;
  if (answer.kind !== "status") {
    const tls = await isTls(address, answer, timeoutMs);
    return { words: tls ? `${words}; ${TLS}` : words, ok: false };
  }
  const { status } = answer;
  if (status === 101) return { words, ok: true };
  // The mux may require a cookie or an Origin, which only a browser has: so 401 and 403 count as working.
  if (status === 401 || status === 403)
    return { words: `${words} (this check sends no Origin and no cookies)`, ok: true };
  if (await isTls(address, answer, timeoutMs)) return { words: `${words}; ${TLS}`, ok: false };
  const web = await find(http, (at) => askMux(at, path, timeoutMs));
  const isSwapped = web.answer.kind === "status" && web.answer.status === 101;
  const why = isSwapped ? `${web.label} opens one. Are --http and --mux swapped?` : "no WebSocket was opened";
  return { words: `${words}; ${why}`, ok: false };
}

function told(answer: Answer): string {
  switch (answer.kind) {
    case "status":
      return `answers ${answer.status} ${answer.reason}`.trimEnd();
    case "nonsense":
      return "answers with something that is not HTTP";
    case "nothing":
      return `accepts the connection, but does not answer (${answer.why})`;
    default:
      return `cannot be reached (${answer.why})`;
  }
}

const TLS = "it speaks TLS. Give the port that serves plain http:// or ws://; TLS ends at the front";

/** Does the server speak TLS? Such servers close, send an alert, or answer 400 when they get plain HTTP. */
async function isTls(address: Address, answer: Answer, timeoutMs: number): Promise<boolean> {
  if (answer.kind === "unreachable" || (answer.kind === "status" && answer.status !== 400)) return false;
  return await speaksTls(address, timeoutMs);
}
