// `single-port check`: would this run? Probes the upstreams once each. Called by cli.ts.

import { connect } from "node:net";
import { codeOf } from "./core/errors.ts";
import { cut, guard } from "./core/sockets.ts";
import type { Options } from "./options.ts";
import type { Target } from "./target.ts";

/** Prints what would run and whether each upstream answers; resolves with whether all do. */
export async function check(options: Options, print: (line: string) => void): Promise<boolean> {
  print(`would listen on ${options.host}:${options.port}`);
  const routes: [string, Target][] = [["HTTP", options.http]];
  for (const { target, paths } of options.mux) routes.push([paths.join(", "), target]);
  const results = await Promise.all(
    routes.map(async ([what, target]) => {
      const problem = await probe(target, options.connectTimeout);
      print(`${what} → ${target.label}${target.path ?? ""}: ${problem ?? "answers"}`);
      return problem === undefined;
    }),
  );
  return results.every(Boolean);
}

function probe(target: Target, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(target.address);
    guard(socket);
    const done = (problem?: string): void => {
      clearTimeout(timer);
      cut(socket);
      resolve(problem);
    };
    const timer = setTimeout(done, timeoutMs, `does not answer within ${timeoutMs} ms`);
    socket.once("connect", () => done());
    socket.once("error", (error) => done(`cannot be reached (${codeOf(error)})`));
  });
}
