// `single-port check`: would this run? Probes the upstreams once each. Called by cli.ts.

import type { Options } from "../options/options.ts";
import { Clock } from "../core/timer.ts";
import { hostPort, type Target } from "../core/target.ts";
import { probeConnect } from "../upstream/probe.ts";

/** Prints what would run and whether each upstream answers; resolves with whether all do. */
export async function check(options: Options, print: (line: string) => void): Promise<boolean> {
  print(`would listen on ${hostPort(options.host, options.port)}`);
  const routes: [string, Target][] = [["HTTP", options.http]];
  for (const { target, paths } of options.mux) routes.push([paths.join(", "), target]);
  const clock = new Clock();
  const results = await Promise.all(
    routes.map(async ([what, target]) => {
      const problem = await new Promise<string | undefined>((resolve) => {
        probeConnect(target.address, { clock, timeoutMs: options.connectTimeout }, resolve);
      });
      const found = problem === undefined ? "answers" : `cannot be reached (${problem})`;
      print(`${what} → ${target.label}${target.path ?? ""}: ${found}`);
      return problem === undefined;
    }),
  );
  return results.every(Boolean);
}
